"""What the stages share: where a script lies, the digest of the code that it runs, where first checksums are kept.

reads   scripts/
writes  nothing
"""

from cocomine.provenance.digests import code_digest


def script(rule):
    return str(HOME / "scripts" / f"{rule}.py")


def code(rule):
    return code_digest(Path(script(rule)))


def pins(kind, source):
    name = source.name if kind == "annotations" else source.store.name
    return "" if source.bucket else f"--pins data/locks/{kind}/{name}.jsonl"
