"""What the stages share: where a script lies, and the digest of the code that its result depends on.

reads   scripts/
writes  nothing
"""

from cocomine.provenance.digests import code_digest


def script(rule):
    return str(HOME / "scripts" / f"{rule}.py")


def code(rule):
    return code_digest(Path(script(rule)))
