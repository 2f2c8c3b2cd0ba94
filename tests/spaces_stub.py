"""A stand-in for the package ``spaces``: a task runs in a forked process, its arguments and yields are pickled."""

import multiprocessing
import pickle
import threading
from functools import wraps

forks = multiprocessing.get_context("fork")


class LentError(Exception):
    """As ``gradio.Error`` that ``spaces`` raises: a title, and a text."""

    def __init__(self, title, message):
        super().__init__(message)
        self.title = title


class Spaces:
    """The module.

    Attributes:
        seconds: What was asked for, by each task.
        processes: Ids of the processes that computed.
        refuse: Title and text of the error that the next tasks get; ``None``: none.
        most_yields: After so many the GPU is taken back; ``None``: never.
        stopped: Set when a task was ended early.
    """

    def __init__(self):
        self.seconds, self.processes, self.refuse, self.most_yields = [], [], None, None
        self.stopped = threading.Event()

    def GPU(self, task, duration):
        @wraps(task)
        def lent(*args):
            self.seconds.append(duration(*args))
            if self.refuse is not None:
                raise LentError(*self.refuse)
            receiver, sender = forks.Pipe(duplex=False)
            process = forks.Process(target=_work, args=(sender, task, pickle.dumps(args)), daemon=True)
            process.start()
            sender.close()
            self.processes.append(process.pid)
            try:
                num_yields = 0
                while (told := pickle.loads(receiver.recv_bytes())) is not None:
                    if isinstance(told, str):
                        raise LentError("ZeroGPU worker error", told)
                    if num_yields == self.most_yields:
                        raise LentError("ZeroGPU worker error", "GPU task aborted")
                    num_yields += 1
                    yield told[0]
            except GeneratorExit:
                self.stopped.set()
                raise
            finally:
                process.terminate()
                process.join()

        return lent


def _work(sender, task, pickled):
    try:
        for told in task(*pickle.loads(pickled)):
            sender.send_bytes(pickle.dumps((told,)))
        sender.send_bytes(pickle.dumps(None))
    except Exception as error:
        sender.send_bytes(pickle.dumps(type(error).__name__))
