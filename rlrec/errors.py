"""The one exception that users are meant to see."""


class InputError(Exception):
    """Something a user handed in cannot be used, and this is what to change.

    Rendered by the command line as a few plain lines, without a traceback. Everything that reads files, tables,
    presets or downloads raises it; nothing inside the library does once types are trusted.
    """

    def __init__(
        self,
        problem: str,
        *,
        file: object = None,
        column: str | None = None,
        rows: int | None = None,
        remedy: str | None = None,
    ) -> None:
        self.problem = problem
        self.file = None if file is None else str(file)
        self.column = column
        self.rows = rows
        self.remedy = remedy
        super().__init__(str(self))

    def __str__(self) -> str:
        lines = [self.problem]
        if self.file is not None:
            lines.append(f"  file:   {self.file}")
        if self.column is not None:
            lines.append(f"  column: {self.column}")
        if self.rows is not None:
            lines.append(f"  rows:   {self.rows:,}")
        if self.remedy is not None:
            lines.append(f"  remedy: {self.remedy}")
        return "\n".join(lines)
