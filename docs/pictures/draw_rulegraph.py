"""Write the graph of the rules into README.md, as Snakemake itself draws it, less the edges that others imply.

./run python docs/pictures/draw_rulegraph.py
"""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BEGIN, END = "<!-- rule graph: begin -->", "<!-- rule graph: end -->"


def rule_graph() -> set[tuple[str, str]]:
    """Return the edges of `snakemake --rulegraph`, from the rule that makes to the rule that reads."""
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--rulegraph", "mermaid-js"]
    printed = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT).stdout
    names = dict(re.findall(r"^\s*(id\d+)\[(\w+)\]", printed, re.MULTILINE))
    return {(names[a], names[b]) for a, b in re.findall(r"(id\d+) --> (id\d+)", printed)}


def reduced(edges: set[tuple[str, str]]) -> set[tuple[str, str]]:
    """Return the edges that no longer path implies; the graph has no rings."""
    after: dict[str, set[str]] = {}
    for a, b in edges:
        after.setdefault(a, set()).add(b)

    def reachable(name: str) -> set[str]:
        direct = after.get(name, set())
        return direct.union(*(reachable(other) for other in direct))

    return {(a, b) for a, b in edges if not any(b in reachable(other) for other in after[a] - {b})}


def drawn(edges: set[tuple[str, str]]) -> str:
    """Return the graph as a mermaid block, which code hosts show as a picture."""
    lines = "\n".join(f"    {a} --> {b}" for a, b in sorted(reduced(edges)))
    return f"{BEGIN}\n```mermaid\nflowchart LR\n{lines}\n```\n{END}"


def with_graph(readme: str, graph: str) -> str:
    """Return the text with the graph between its marks."""
    return re.sub(re.escape(BEGIN) + ".*?" + re.escape(END), lambda _: graph, readme, flags=re.DOTALL)


if __name__ == "__main__":
    path = ROOT / "README.md"
    path.write_text(with_graph(path.read_text(encoding="utf-8"), drawn(rule_graph())), encoding="utf-8")
