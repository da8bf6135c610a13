"""Mining: choose a subset's images and objects by its query, then write the dataset of what survived the checks.

reads   the indexes of the subset's source, the labels of an earlier build where `labels_from` names them; later the
        measured photographs
writes  results/{subset}/selection.tsv and funnel.json, then subset.json, the other tasks' files, images.tsv,
        dictionary.json, labels.json, statistics.json, quarantine.tsv, repairs.tsv, ids.tsv, void.json,
        ATTRIBUTION.md, interference.png
"""


rule mine_subset:
    input:
        index=lambda wildcards: index_files(plan.subsets[wildcards.subset].indexes),
        parent=lambda wildcards: plan.subsets[wildcards.subset].parent("images.tsv"),
        lists=lambda wildcards: plan.subsets[wildcards.subset].lists,
        pinned=lambda wildcards: plan.subsets[wildcards.subset].pinned,
    output:
        selection="results/{subset}/selection.tsv",
        funnel="results/{subset}/funnel.json",
    log:
        "logs/mine_subset/{subset}.log",
    benchmark:
        "benchmarks/mine_subset/{subset}.tsv"
    conda:
        "../../envs/data.yaml"
    threads: 1
    resources:
        mem_mb=memory_for("mine_subset"),
        runtime=time_for("mine_subset"),
    params:
        script=script("mine_subset"),
        code=code("mine_subset"),
        settings=settings("query", "subset"),
        index=lambda wildcards: plan.subsets[wildcards.subset].source.index_folder,
        splits=lambda wildcards: plan.subsets[wildcards.subset].source.splits,
        parent=lambda wildcards, input: (
            ["--images-from", input.parent] if input.parent else []
        ),
    message:
        "Mine {wildcards.subset}"
    shell:
        "python {params.script:q} --settings {params.settings:q} --index-dir {params.index:q} "
        "--splits {params.splits:q} {params.parent:q} --selection {output.selection:q} --funnel {output.funnel:q} "
        "--log {log:q}"


rule assemble_subset:
    input:
        index=lambda wildcards: index_files(plan.subsets[wildcards.subset].indexes),
        selection="results/{subset}/selection.tsv",
        funnel="results/{subset}/funnel.json",
        measures="results/{subset}/images.parquet",
        files=lambda wildcards: annotation_files(
            plan.subsets[wildcards.subset].source.name
        ),
        pinned=lambda wildcards: plan.subsets[wildcards.subset].pinned,
    output:
        subset=report(
            "results/{subset}/subset.json",
            category="{subset}",
            labels={"what": "subset, as COCO JSON"},
            caption="../report/subset.rst",
        ),
        images="results/{subset}/images.tsv",
        tasks=folder("results/{subset}/tasks"),
        dictionary="results/{subset}/dictionary.json",
        labels="results/{subset}/labels.json",
        statistics="results/{subset}/statistics.json",
        quarantine="results/{subset}/quarantine.tsv",
        repairs="results/{subset}/repairs.tsv",
        ids="results/{subset}/ids.tsv",
        void="results/{subset}/void.json",
        attribution="results/{subset}/ATTRIBUTION.md",
        interference=report(
            "results/{subset}/interference.png",
            category="{subset}",
            labels={"what": "interference of the classes"},
            caption="../report/interference.rst",
        ),
    log:
        "logs/assemble_subset/{subset}.log",
    benchmark:
        "benchmarks/assemble_subset/{subset}.tsv"
    conda:
        "../../envs/data.yaml"
    threads: 4
    resources:
        mem_mb=memory_for("assemble_subset"),
        runtime=time_for("assemble_subset"),
    params:
        script=script("assemble_subset"),
        code=code("assemble_subset"),
        settings=settings("query", "subset"),
        index=lambda wildcards: plan.subsets[wildcards.subset].source.index_folder,
        annotations=lambda wildcards: plan.subsets[wildcards.subset].source.folder,
        labels=lambda wildcards: plan.subsets[wildcards.subset].labelled,
        folder=lambda wildcards, output: str(Path(output.subset).parent),
    message:
        "Assemble {wildcards.subset} from what survived"
    shell:
        "python {params.script:q} --settings {params.settings:q} --index-dir {params.index:q} "
        "--annotations-dir {params.annotations:q} --selection {input.selection:q} --funnel {input.funnel:q} "
        "--measures {input.measures:q} --out-dir {params.folder:q} {params.labels:q} --threads {threads} "
        "--log {log:q}"
