"""The command-line program, its consoles and its exit codes."""

import io
import logging
import sys

import typer
from rich.console import Console
from rich.logging import RichHandler
from rich.text import Text

from hcl_core.errors import HclError
from hcl_core.questions.report import LoadReport
from hcl_core.text import printable

app = typer.Typer(
    help="See how a language model's answers change with the layer at which it stops.",
    add_completion=False,
    pretty_exceptions_enable=False,
)
DTYPE_HELP = (
    "auto (float32 on a CPU), fastest (measured on this machine), "
    "float32, bfloat16, float16, or quantised: int8, nf4 (bitsandbytes)."
)
# A pipe has no width of its own; 200 columns leave its lines unwrapped.
stdout, stderr = Console(width=None if sys.stdout.isatty() else 200), Console(stderr=True)


# Characters of a message, which may quote a long value.
_MAX_MESSAGE = 1_000


def main(arguments: list[str] | None = None) -> None:
    """Run a command; a user's mistake is one line on stderr and exit code 2."""
    logging.basicConfig(level=logging.WARNING, handlers=[RichHandler(console=stderr, show_path=False, show_time=False)])
    logging.getLogger("hcl_core").setLevel(logging.INFO)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a character that the terminal's encoding lacks becomes "?"
            stream.reconfigure(errors="replace")
    try:
        arguments = sys.argv[1:] if arguments is None else arguments
        code = app(args=arguments or ["--help"], standalone_mode=False)
    except HclError as error:
        code = _fail(str(error))
    except typer.TyperException as error:
        code = _fail(error.format_message())
    except (KeyboardInterrupt, typer.Abort):
        code = 130
    if code == 130:  # Ctrl-C, which typer may return instead of raising
        code = _fail("stopped; the same command goes on where it was", code)
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


def _fail(message: str, code: int = 2) -> int:
    line = printable(" ".join(f"error: {message}".split()))
    stderr.print(Text(line if len(line) <= _MAX_MESSAGE else f"{line[:_MAX_MESSAGE]} …"), soft_wrap=True)
    return code
