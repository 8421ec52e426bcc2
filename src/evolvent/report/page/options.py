"""What report is given."""

from dataclasses import dataclass
from pathlib import Path

from evolvent.options import Interface, argument, option


@dataclass(frozen=True, slots=True, kw_only=True)
class Reporting:
    """Where the report goes."""

    out: Path | None = option(
        "The file that is written; report.html in the first folder if not given.", None, metavar="FILE.html"
    )
    figures: Path | None = option("Also write each figure to this folder, as SVG and as PNG.", None, metavar="DIR")


REPORT = Interface(
    "evolvent.report.page.report",
    "write_report",
    {
        "runs": argument(
            "Run folders or folders of rankings; what others are compared with comes first.",
            "RUN",
            more="A path, a Run, or several of them.",
            repeatable=True,
        )
    },
    (Reporting,),
)
