"""The command-line program, its consoles and its exit codes."""

import errno
import io
import logging
import sys
from collections import Counter
from collections.abc import Callable
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.logging import RichHandler
from rich.text import Text
from typer.core import TyperCommand
from typer.models import CommandFunctionType

from hcl_core import __version__
from hcl_core.errors import HclError, SettingsError, SweepError, file_and_cause
from hcl_core.models.engines import REFERENCE, EngineName
from hcl_core.questions.report import LoadReport
from hcl_core.quiet import STOPPED
from hcl_core.text import one_line, printable


class Command(TyperCommand):
    """A command that takes an option's one value once, and numbers in digits.

    Typer would take the last of several values without a word, and ``1_0`` for 10.
    """

    def parse_args(self, context: Any, arguments: list[str]) -> list[str]:
        """As typer does; raises ``SettingsError`` for an option given twice, and for an underscore in a number."""
        given = list(arguments)
        rest = super().parse_args(context, arguments)
        texts, _, order = self.make_parser(context).parse_args(args=given)
        self._check_given_once(context, order)
        for parameter in self.params:
            text = texts.get(parameter.name or "")
            is_number = isinstance(context.params.get(parameter.name or ""), int | float)
            if is_number and isinstance(text, str) and "_" in text:
                raise SettingsError(f"{parameter.opts[0]} must be a number in digits; got {text[:40]!r}")
        return rest

    def _check_given_once(self, context: Any, order: list[Any]) -> None:
        for parameter, count in Counter(order).items():
            takes_one = not getattr(parameter, "multiple", True) and not getattr(parameter, "is_flag", True)
            if takes_one and count > 1:
                raise SettingsError(
                    f"{parameter.opts[0]} takes one value, and was given {count} times: give it once; "
                    f"`{context.info_name} --help` says what it can be"
                )


class Program(typer.Typer):
    """Commands of the class ``Command``."""

    def command(self, name: str | None = None, **settings: Any) -> Callable[[CommandFunctionType], CommandFunctionType]:
        """As typer's."""
        return super().command(name, cls=Command, **settings)


app = Program(
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _print_version(is_wanted: bool) -> None:
    if is_wanted:
        print(__version__)
        raise typer.Exit


@app.callback()
def program(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    """See how a language model's answers change with the layer at which it stops."""


DEVICES_HELP = "auto, cpu, cuda, cuda:N or mps; or GPUs that each have all of the model, as cuda:0,cuda:1."
DTYPE_HELP = (
    "auto (float32 on a CPU), fastest (measured on this machine), "
    "float32, bfloat16, float16, or quantised: int8, nf4 (bitsandbytes)."
)


def on_each(device: str) -> str:
    """What follows the memory that is free, where ``device`` names several."""
    return " on each device" if "," in device else ""


# A pipe has no width of its own; 200 columns leave its lines unwrapped.
stdout = Console(width=None if sys.stdout.isatty() else 200)
stderr = Console(stderr=True, width=None if sys.stderr.isatty() else 200)

# Characters of a message, which may quote a long value.
_MAX_MESSAGE = 1_000


def main(arguments: list[str] | None = None) -> None:
    """Run a command; a user's mistake is one line on stderr and exit code 2."""
    handler = RichHandler(console=stderr, show_path=False, show_time=False)
    logging.basicConfig(level=logging.WARNING, format="%(message)s", handlers=[handler])
    logging.getLogger("hcl_core").setLevel(logging.INFO)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a character that the terminal's encoding lacks becomes "?"
            stream.reconfigure(errors="replace")
    try:
        arguments = sys.argv[1:] if arguments is None else arguments
        code = app(args=arguments or ["--help"], standalone_mode=False)
    except SweepError as error:  # each mistake on a line of its own
        code = _fail(*str(error).splitlines())
    except HclError as error:
        code = _fail(str(error))
    except typer.TyperException as error:
        code = _fail(error.format_message())
    except OSError as error:  # a folder that cannot be written, a full disk
        code = _fail(_describe(error))
    except (KeyboardInterrupt, typer.Abort):
        code = STOPPED
    if code == STOPPED:  # Ctrl-C, which typer may return instead of raising
        code = _fail("stopped; the same command goes on where it was", code=code)
    sys.exit(code if isinstance(code, int) else 0)


def say(line: str) -> None:
    """Print a line that is neither wrapped nor read as markup."""
    stdout.print(printable(line), markup=False, highlight=False, soft_wrap=True)


def loading(name: str) -> Text:
    """The text beside the spinner; ``name`` is not read as markup."""
    return Text(f"Loading {printable(name)[:200]}")


def say_loaded(report: LoadReport) -> None:
    """What loading a question set did, as one line on stderr."""
    stderr.print(Text(printable(report.describe())), soft_wrap=True)


def say_engine(engine: EngineName) -> None:
    """Which engine computes the model, as one line on stderr; nothing where it is the fast one."""
    if engine == REFERENCE:
        stderr.print("The reference engine computes this model: exact, and slower than the fast one.", highlight=False)


def _describe(error: OSError) -> str:
    """What the operating system refused, on one line."""
    what = file_and_cause(error)
    return f"{what}; free some space, and give the same command again" if error.errno == errno.ENOSPC else what


def _fail(message: str, *more: str, code: int = 2) -> int:
    for each in (f"error: {message}", *more):
        line = printable(one_line(each))
        stderr.print(Text(line if len(line) <= _MAX_MESSAGE else f"{line[:_MAX_MESSAGE]} …"), soft_wrap=True)
    return code
