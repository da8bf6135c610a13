"""What the stages share: where a script lies, the digest of the code that it runs, where first checksums are kept, and
which file holds the settings of a job.

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
    return [] if source.bucket else ["--pins", f"data/locks/{kind}/{name}.jsonl"]


def settings(section, wildcard):
    return lambda wildcards: plan.settings(section, wildcards[wildcard])


def made_by(rules):
    return [f"{one.name}={output}" for one in rules for output in one.output]
