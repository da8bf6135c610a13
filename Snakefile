"""cocomine: what `snakemake` runs here. The pipeline itself is workflow/Snakefile, where the catalogue looks for it."""

# `include:` would leave out which rule is the target.
workflow.include("workflow/Snakefile", overwrite_default_target=True)
