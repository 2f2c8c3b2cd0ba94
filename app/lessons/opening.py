"""A class from its lesson file: what ``app.py --class`` opens."""

from pathlib import Path

from starlette.routing import Route

from app.lessons.address import join_address, told
from app.lessons.reading import read_lesson
from app.lessons.room import Room, lesson_id
from app.lessons.routes import ClassPages
from app.lessons.store import ClassStore
from app.service import Service
from app.settings import PageSettings
from hcl_core.folders import runs_folder

# Beside the runs; their list leaves out names that begin with a dot.
_FOLDER = ".classes"


class OpenedClass:
    """A room, and its pages once the page of the program is served."""

    def __init__(self, room: Room, settings: PageSettings) -> None:
        self.room, self._settings = room, settings
        self._pages: ClassPages | None = None

    def routes(self, service: Service) -> list[Route]:
        """Of the class's pages."""
        self._pages = ClassPages(self.room, service)
        return self._pages.routes()

    def told(self, host: str, port: int) -> str:
        """What the program says to the teacher, once it listens."""
        address = join_address(host, port, self._settings.class_address)
        if self._pages:
            self._pages.address = address
        return told(host, address, self.room.store.teacher_token)


def open_class(file: Path, settings: PageSettings) -> OpenedClass:
    """The class of a lesson, as it was left.

    Raises:
        HclError: The lesson has mistakes, or nothing can be kept.
    """
    lesson = read_lesson(file)
    store = ClassStore(runs_folder() / _FOLDER, lesson_id(lesson))
    return OpenedClass(Room(lesson, store, settings.class_students), settings)
