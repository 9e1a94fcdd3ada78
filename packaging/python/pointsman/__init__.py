"""The program `pointsman`, as this package has installed it."""

import os
import sys
import sysconfig
from typing import Iterator

__all__ = ["find"]


def _folders() -> Iterator[str]:
    """The folders in which an installer may have put the scripts of this package, the likeliest first."""
    yield sysconfig.get_path("scripts")
    # `pip install --user`
    yield sysconfig.get_path("scripts", sysconfig.get_preferred_scheme("user") if sys.version_info >= (3, 10) else "posix_user")
    # `pip install --prefix`: PREFIX/bin beside PREFIX/lib/pythonX.Y/site-packages/pointsman
    package = os.path.dirname(os.path.abspath(__file__))
    yield os.path.join(package, "..", "..", "..", "..", "bin")
    # `pip install --target`
    yield os.path.join(package, "..", "bin")


def find() -> str:
    """The path of the program.

    Raises:
        FileNotFoundError: when it is in none of the folders that installers use.
    """
    looked = []
    for folder in _folders():
        path = os.path.abspath(os.path.join(folder, "pointsman" + (sysconfig.get_config_var("EXE") or "")))
        if os.path.isfile(path) and os.access(path, os.X_OK):
            return path
        looked.append(path)
    raise FileNotFoundError(
        "the program `pointsman` is not where this package has installed it; install it anew with "
        "`pip install --force-reinstall pointsman`. Looked at: " + ", ".join(looked)
    )
