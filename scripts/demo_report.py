"""The demo's output: one line for each step, with a tick if the step was really seen."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import httpx2
from rich.console import Console
from rich.markup import escape

from telephony.phone import PhoneError


class Unseen(Exception):  # noqa: N818 - it is about a step, not the program
    """The demo did not see what it expected.

    Attributes:
        expected: What it expected, in words.
        seen: What there was instead.
    """

    def __init__(self, expected: str, seen: object = "nothing") -> None:
        super().__init__(expected)
        self.expected = expected
        self.seen = seen


def expect(held: object, expected: str, seen: object = "nothing") -> None:
    """Raise `Unseen` unless `held` is true."""
    if not held:
        raise Unseen(expected, seen)


class Report:
    """Prints the steps; after a step that failed there are no more."""

    def __init__(self) -> None:
        self.console = Console(highlight=False, soft_wrap=True)
        self._plain = not (self.console.encoding or "").lower().startswith("utf")

    def title(self, text: str) -> None:
        """Print the title of a chapter."""
        self.console.print(f"\n[bold]{escape(text)}[/bold]")

    def say(self, text: str = "") -> None:
        """Print a line between the steps."""
        self.console.print(f"   {escape(text)}" if text else "")

    def raw(self, text: str) -> None:
        """Print the unchanged output of a command."""
        self.console.file.write("".join(f"     {line}\n" for line in text.rstrip().splitlines()))

    def seen(self, text: str, detail: str = "") -> None:
        """Print a step that was seen."""
        tick = "ok" if self._plain else "✓"
        tail = f"  [dim]{escape(detail)}[/dim]" if detail else ""
        self.console.print(f" [bold green]{tick}[/bold green] {escape(text)}{tail}")

    def failed(self, text: str, expected: str, seen: object) -> None:
        """Print a step that was not seen."""
        cross = "x" if self._plain else "✗"
        self.console.print(f" [bold red]{cross}[/bold red] {escape(text)}")
        self.console.print(f"   expected: {escape(expected)}")
        self.console.print(f"   seen:     {escape(str(seen))}")

    @contextmanager
    def step(self, text: str) -> Iterator[list[str]]:
        """Run one step; the texts in the yielded list are printed beside it."""
        details: list[str] = []
        try:
            yield details
        except Unseen as error:
            self.failed(text, error.expected, error.seen)
            raise
        except TimeoutError:
            self.failed(text, "that it happens in time", "nothing until the time was over")
            raise Unseen(text) from None
        except (PhoneError, httpx2.HTTPError) as error:
            self.failed(text, "that it goes on", f"{type(error).__name__}: {error}")
            raise Unseen(text) from None
        self.seen(text, "; ".join(details))
