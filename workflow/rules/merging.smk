"""Merging: the annotation files of several sources made those of one, for subsets with `sources`.

reads   data/annotations/{source}/ of each of the sources, and their indexes
writes  data/merged/{source}/: annotations/{task}_{of}.{split}.json, categories.tsv, licenses.tsv, merge.json
"""


rule merge_sources:
    input:
        indexes=lambda wildcards: index_files(
            plan.sources[wildcards.source].indexes_of_parts
        ),
        files=lambda wildcards: annotation_files(
            *(part.name for part in plan.sources[wildcards.source].parts)
        ),
    output:
        manifest="data/merged/{source}/merge.json",
        documents=folder("data/merged/{source}/annotations"),
        categories="data/merged/{source}/categories.tsv",
        licenses="data/merged/{source}/licenses.tsv",
    log:
        "logs/merge_sources/{source}.log",
    benchmark:
        "benchmarks/merge_sources/{source}.tsv"
    conda:
        "../../envs/data.yaml"
    threads: 1
    resources:
        mem_mb=need(1000, 2),
        runtime=minutes(60),
    params:
        script=script("merge_sources"),
        code=code("merge_sources"),
        indexes=lambda wildcards: plan.sources[wildcards.source].indexes_of_parts,
        folder=lambda wildcards, output: str(Path(output.manifest).parent),
    message:
        "Merge the sources of {wildcards.source}"
    shell:
        "python {params.script:q} --indexes {params.indexes:q} --out-dir {params.folder:q} --log {log:q}"
