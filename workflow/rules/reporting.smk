"""Reporting: one page a subset, and one that leads to all of them.

reads   everything that was made of a subset
writes  results/{subset}/report.html with report.json, explorer.html with explorer/, results/index.html
        results/comparisons/{comparison}/differences.html with differences/
"""


rule render_report:
    input:
        subset="results/{subset}/subset.json",
        audit="results/{subset}/split_audit.json",
        masks=made("results/{subset}/masks"),
        manifest="results/{subset}/masks.json",
        lock="results/{subset}/images.lock.tsv",
        photographs=photographs("{subset}"),
        others=of_subset(
            "funnel.json",
            "images.parquet",
            "images.tsv",
            "labels.json",
            "masks.tsv",
            "quarantine.tsv",
            "repairs.tsv",
            "split.tsv",
            "statistics.json",
            "tasks",
        ),
        exports=lambda wildcards: made(plan.subsets[wildcards.subset].exports),
        evaluations=lambda wildcards: made(plan.evaluations_on(wildcards.subset)),
        training=lambda wildcards: [
            f"{Path(folder).parent}/{name}"
            for folder in plan.evaluations_on(wildcards.subset)
            for name in ("training.json", "history.csv")
        ],
        predictions=lambda wildcards: made(plan.predictions_on(wildcards.subset)),
        reviews=lambda wildcards: [
            f"{folder}/label_errors.tsv"
            for folder in plan.reviews_of(wildcards.subset)
        ],
        annotations=lambda wildcards: plan.subsets[wildcards.subset].source.lock,
    output:
        page=report(
            "results/{subset}/report.html",
            category="{subset}",
            labels={"what": "report"},
            caption="../report/report.rst",
        ),
        facts="results/{subset}/report.json",
    log:
        "logs/render_report/{subset}.log",
    benchmark:
        "benchmarks/render_report/{subset}.tsv"
    conda:
        "../../envs/data.yaml"
    threads: 1
    resources:
        mem_mb=memory_for("render_report"),
        runtime=time_for("render_report"),
    params:
        script=script("render_report"),
        code=code("render_report"),
        folder=lambda wildcards, output: str(Path(output.page).parent),
        settings=settings("query", "subset"),
        store=lambda wildcards: plan.subsets[wildcards.subset].source.store.folder,
    message:
        "Report on {wildcards.subset}"
    shell:
        "python {params.script:q} --settings {params.settings:q} --subset-dir {params.folder:q} "
        "--store-dir {params.store:q} --sources-lock {input.annotations:q} --runs {input.evaluations:q} "
        "--predictions {input.predictions:q} --reviews {input.reviews:q} --out {output.page:q} --json-out {output.facts:q} --log {log:q}"


rule render_explorer:
    input:
        index=lambda wildcards: index_files(plan.subsets[wildcards.subset].indexes),
        parent=lambda wildcards: plan.subsets[wildcards.subset].parent("images.tsv"),
        lists=lambda wildcards: plan.subsets[wildcards.subset].lists,
        pinned=lambda wildcards: plan.subsets[wildcards.subset].pinned,
        funnel="results/{subset}/funnel.json",
        subset="results/{subset}/subset.json",
        split="results/{subset}/split.tsv",
        masks=made("results/{subset}/masks"),
        table="results/{subset}/masks.tsv",
        measures="results/{subset}/images.parquet",
        lock="results/{subset}/images.lock.tsv",
        thumbnails=made("results/{subset}/thumbnails"),
        photographs=lambda wildcards: (
            photographs(wildcards.subset)
            if plan.subsets[wildcards.subset].mailed
            else []
        ),
        others=of_subset(
            "images.tsv",
            "labels.json",
            "quarantine.tsv",
            "repairs.tsv",
            "selection.tsv",
            "tasks",
        ),
        evaluations=lambda wildcards: made(plan.evaluations_on(wildcards.subset)),
    output:
        page="results/{subset}/explorer.html",
        folder=folder("results/{subset}/explorer"),
    log:
        "logs/render_explorer/{subset}.log",
    benchmark:
        "benchmarks/render_explorer/{subset}.tsv"
    conda:
        "../../envs/data.yaml"
    threads: 1
    resources:
        mem_mb=memory_for("render_explorer"),
        runtime=time_for("render_explorer"),
    params:
        script=script("render_explorer"),
        code=code("render_explorer"),
        settings=settings("query", "subset"),
        index=lambda wildcards: plan.subsets[wildcards.subset].source.index_folder,
        parent=lambda wildcards, input: (
            ["--images-from", input.parent] if input.parent else []
        ),
        subset=lambda wildcards, output: str(Path(output.page).parent),
        store=lambda wildcards: plan.subsets[wildcards.subset].source.store.folder,
        mailed=lambda wildcards: plan.subsets[wildcards.subset].mailed,
    message:
        "Show all images of {wildcards.subset}"
    shell:
        "python {params.script:q} --subset-dir {params.subset:q} --store-dir {params.store:q} "
        "--runs {input.evaluations:q} --settings {params.settings:q} --index-dir {params.index:q} {params.parent:q} "
        "--out {output.page:q} {params.mailed:q} --log {log:q}"


rule render_differences:
    input:
        matches="results/comparisons/{comparison}/matches.parquet",
        images="results/comparisons/{comparison}/images.tsv",
        indexes=lambda wildcards: index_files(
            plan.comparisons[wildcards.comparison].indexes
        ),
        files=lambda wildcards: annotation_files(
            *(side.name for side in plan.comparisons[wildcards.comparison].sides)
        ),
        photographs=lambda wildcards: plan.comparisons[
            wildcards.comparison
        ].photographs(plan.subsets.values()),
        copies=lambda wildcards: photographs(
            *(
                Path(lock).parent.name
                for lock in plan.comparisons[wildcards.comparison].photographs(
                    plan.subsets.values()
                )
            )
        ),
    output:
        page="results/comparisons/{comparison}/differences.html",
        folder=folder("results/comparisons/{comparison}/differences"),
    log:
        "logs/render_differences/{comparison}.log",
    benchmark:
        "benchmarks/render_differences/{comparison}.tsv"
    conda:
        "../../envs/data.yaml"
    threads: 1
    resources:
        mem_mb=need(1500, 2),
        runtime=minutes(30),
    params:
        script=script("render_differences"),
        code=code("render_differences"),
        settings=settings("comparison", "comparison"),
        matching=lambda wildcards, output: str(Path(output.page).parent),
        first=lambda wildcards: plan.comparisons[wildcards.comparison].first.folder,
        first_splits=lambda wildcards: plan.comparisons[
            wildcards.comparison
        ].first_splits,
        second=lambda wildcards: plan.comparisons[wildcards.comparison].second.folder,
        second_splits=lambda wildcards: plan.comparisons[
            wildcards.comparison
        ].second_splits,
        store=lambda wildcards: plan.comparisons[
            wildcards.comparison
        ].first.store.folder,
    message:
        "Show where the sources of {wildcards.comparison} disagree most"
    shell:
        "python {params.script:q} --settings {params.settings:q} --matching-dir {params.matching:q} "
        "--first {params.first:q} --first-splits {params.first_splits:q} --second {params.second:q} "
        "--second-splits {params.second_splits:q} --store-dir {params.store:q} --out {output.page:q} --log {log:q}"


rule render_index:
    input:
        pages=expand("results/{subset}/report.html", subset=plan.subsets),
        facts=expand("results/{subset}/report.json", subset=plan.subsets),
        explorers=expand("results/{subset}/explorer.html", subset=plan.subsets),
        comparison="results/experiments/comparison.json" if plan.runs else [],
        predictions=made([one.folder for one in plan.predictions.values()]),
        lock="results/build.lock.json",
    output:
        page=report(
            "results/index.html",
            category="overview",
            labels={"what": "all subsets and experiments"},
            caption="../report/index.rst",
        ),
        facts="results/index.json",
    log:
        "logs/render_index/all.log",
    benchmark:
        "benchmarks/render_index/all.tsv"
    conda:
        "../../envs/data.yaml"
    threads: 1
    resources:
        mem_mb=memory_for("render_index"),
        runtime=time_for("render_index"),
    params:
        script=script("render_report"),
        code=code("render_report"),
        comparison=lambda wildcards, input: (
            ["--comparison", input.comparison] if input.comparison else []
        ),
    message:
        "Lead to all reports"
    shell:
        "python {params.script:q} --index {input.pages:q} {params.comparison:q} --predictions {input.predictions:q} --build-lock {input.lock:q} --out {output.page:q} --log {log:q}"
