"""The report of an audit: its findings, and the forms they are read in."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Self

from stochrobust.auditing import forms, saved, tables
from stochrobust.auditing.findings import Findings


@dataclass(frozen=True, repr=False)
class AuditReport(Findings):
    """What :func:`stochrobust.audit` found, and the forms it can be read in.

    Attributes are those of :class:`~stochrobust.auditing.findings.Findings`: ``numbers`` by name, each an
    :class:`~stochrobust.AuditNumber` with its interval; ``verdicts`` in words; ``concerns``; ``protocol``; and more.

    Example:
        >>> import torch
        >>> from stochrobust import BlockAverageProjector, audit
        >>> projector = BlockAverageProjector(2)
        >>> report = audit(projector.pinv, torch.rand(2, 1, 4, 4), eps=0.1, projector=projector)
        >>> AuditReport.from_json(report.to_json()).numbers == report.numbers
        True
    """

    def to_json(self) -> str:
        """Everything but the pictures and a checksum, as :meth:`from_json` reads it; infinity is the string "inf"."""
        return tables.to_json(self)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The report that :meth:`to_json` wrote, without pictures.

        Raises:
            ValueError: if the text is something else, or was changed since; the message names the field.
        """
        return cls(**saved.from_json(text))

    def to_html(self) -> str:
        """The report as one self-contained page that makes no requests; needs the extra ``report``."""
        from stochrobust.auditing.page import render

        return render(self)

    def to_markdown(self) -> str:
        """Verdicts, tables of the numbers, and the protocol."""
        return tables.to_markdown(self)

    def to_dict(self) -> dict[str, float]:
        """The numbers alone, by name, for loggers."""
        return forms.flat(self)

    def to_csv(self) -> str:
        """A line for each number, with its interval."""
        return forms.to_csv(self)

    def to_latex(self) -> str:
        """The row of the paper's Table 1, for booktabs."""
        return forms.to_latex(self)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a file: ``.json``, ``.html``, ``.md``, ``.csv`` or ``.tex``, in the form that its suffix names.

        Raises:
            ValueError: if there is no form of that suffix.
        """
        forms.save(
            path,
            {".json": self.to_json, ".html": self.to_html, ".md": self.to_markdown, ".csv": self.to_csv,
             ".tex": self.to_latex},
        )  # fmt: skip

    def __repr__(self) -> str:
        return forms.in_a_terminal(self)

    def _repr_html_(self) -> str:
        return forms.in_a_notebook(self)
