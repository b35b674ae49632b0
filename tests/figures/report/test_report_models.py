"""The table of the paper's models."""

from __future__ import annotations

from figures.report.models import models_section


def test_the_table_says_which_rows_agree():
    text = models_section()
    rows = {row.split("|")[1].strip(): row for row in text.splitlines() if row.startswith("| ")}
    assert len(rows) == 11  # nine models, the headings and the rule
    assert rows["LLaMA 66M"].endswith("| 66.4M | 66M | agrees |")
    assert rows["LLaMA 0.25B"].endswith("| 152.8M | 237M | disagrees, see below |")
    assert "1945.4M, 536.1M active | 1945M, 536M active | agrees" in rows["Qwen2-MoE 2B"]
    assert "which would be 124.8M" in text
    assert "that is 237.3M, the paper's count" in text
