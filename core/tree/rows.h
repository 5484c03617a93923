/*
 * ROW(kind, pattern, parent, flags, needs, estimate, functions…): the virtual tree. No include guard: included with
 * ROW defined. The order within a directory is the order of its listing.
 */
#define M ROW_MODEL
#define T ROW_TABLE

ROW(NONE, "", NONE, 0, 0, 0)
ROW(ROOT, "", ROOT, ROW_DIR, 0, 0)
ROW(README, "README", ROOT, ROW_LAKE, 0, 8192, .render = render_readme)
ROW(CACHEDIR, "CACHEDIR.TAG", ROOT, 0, 0, 0, .render = render_cachedir)

ROW(MODELS, "models", ROOT, ROW_DIR, 0, 0, .list = list_models, .lookup = lookup_models)
ROW(PREFIX, "models/PREFIX", MODELS, ROW_DIR | ROW_HIDDEN, 0, 0, .list = list_models, .lookup = lookup_models)
ROW(MODEL, "models/ID", MODELS, ROW_DIR | ROW_HIDDEN | M, 0, 0, .list = list_models, .lookup = lookup_models)
ROW(MODEL_README, "models/ID/README.md", MODEL, ROW_LINK | M, VIEW_CARD, 0, .target = target_readme)
ROW(METADATA_JSON, "models/ID/metadata.json", MODEL, ROW_LAKE | M, 0, 8192, .render = render_metadata)
ROW(METADATA, "models/ID/metadata", MODEL, ROW_DIR | M, 0, 0, .list = list_metadata, .lookup = lookup_metadata)
ROW(METADATA_KEY, "models/ID/metadata/KEY", METADATA, ROW_HIDDEN | ROW_EXACT_SIZE | M, 0, 0, .render = render_fact,
    .size = size_fact)
ROW(METADATA_FAMILY, "models/ID/metadata/family", METADATA, ROW_LAKE | ROW_EXACT_SIZE | M, 0, 0,
    .render = render_family, .size = size_family, .applies = has_family)
ROW(METADATA_ROOT, "models/ID/metadata/root", METADATA, ROW_LAKE | ROW_EXACT_SIZE | M, 0, 0, .render = render_root,
    .size = size_root, .applies = has_root)
ROW(FILES, "models/ID/files", MODEL, ROW_DIR | M, 0, 0, .list = list_files, .lookup = lookup_files)
ROW(FILES_DIR, "models/ID/files/DIR", FILES, ROW_DIR | ROW_HIDDEN | M, 0, 0, .list = list_files, .lookup = lookup_files)
ROW(FILES_LINK, "models/ID/files/FILE", FILES, ROW_LINK | ROW_HIDDEN | M, 0, 0, .target = target_file)
ROW(FILES_SERVED, "models/ID/files/FILE", FILES, ROW_HIDDEN | ROW_STREAM | ROW_EXACT_SIZE | M, 0, 0,
    .open = open_served, .size = size_served)
ROW(CITE, "models/ID/cite.bib", MODEL, ROW_LAKE | ROW_LINEAGE | M, VIEW_WEIGHTS, 4096, .render = render_cite)
ROW(AUDIT, "models/ID/audit.tsv", MODEL, ROW_WORK | T | M, 0, 16384, .render = render_audit, .guess = guess_problems)
ROW(PROBLEMS, "models/ID/problems.tsv", MODEL, ROW_LAKE | T | M, 0, 4096, .render = render_problems,
	.guess = guess_problems)
ROW(TENSORS, "models/ID/tensors.tsv", MODEL, ROW_WORK | T | M, VIEW_WEIGHTS, 1 << 20, .render = render_tensors,
	.guess = guess_tensors)
ROW(SIGNATURE, "models/ID/signature.npy", MODEL, ROW_WORK | ROW_SIGNATURES | M, VIEW_WEIGHTS, 4 << 20,
    .render = render_signature, .guess = guess_signature)
ROW(EVALUATION, "models/ID/evaluation", MODEL, ROW_DIR | M, VIEW_EVALUATIONS, 0)
ROW(EVALUATION_DECLARED, "models/ID/evaluation/declared.tsv", EVALUATION, T | M, VIEW_EVALUATIONS, 0,
    .render = render_evaluations, .guess = guess_evaluations)
ROW(LINEAGE, "models/ID/lineage", MODEL, ROW_DIR | M, VIEW_WEIGHTS, 0)
ROW(PARENTS, "models/ID/lineage/parents.tsv", LINEAGE, ROW_LAKE | ROW_LINEAGE | T | M, VIEW_WEIGHTS, 16384,
    .render = render_parents)
ROW(DECLARED, "models/ID/lineage/declared.tsv", LINEAGE, ROW_LAKE | ROW_LINEAGE | T | M, VIEW_WEIGHTS | VIEW_DECLARED,
    8192, .render = render_declared)
ROW(SOURCES, "models/ID/lineage/sources.tsv", LINEAGE, ROW_LAKE | ROW_WORK | ROW_LINEAGE | T | M, VIEW_WEIGHTS, 1 << 20,
    .render = render_sources, .guess = guess_sources)
ROW(WHY, "models/ID/lineage/why.txt", LINEAGE, ROW_LAKE | ROW_LINEAGE | M, VIEW_WEIGHTS, 16384, .render = render_why)
ROW(TREE_TXT, "models/ID/lineage/tree.txt", LINEAGE, ROW_LAKE | ROW_LINEAGE | M, VIEW_WEIGHTS, 65536,
    .render = render_tree, .guess = guess_kin)
ROW(GRAPH_DOT, "models/ID/lineage/graph.dot", LINEAGE, ROW_LAKE | ROW_LINEAGE | M, VIEW_WEIGHTS, 65536,
    .render = render_graph_dot, .guess = guess_kin)
ROW(GRAPH_SVG, "models/ID/lineage/graph.svg", LINEAGE, ROW_LAKE | ROW_WORK | ROW_LINEAGE | M, VIEW_WEIGHTS, 1 << 20,
    .render = render_graph_svg, .applies = has_graphviz, .guess = guess_kin)
ROW(LINEAGE_JSON, "models/ID/lineage/lineage.json", LINEAGE, ROW_LAKE | ROW_LINEAGE | M, VIEW_WEIGHTS, 65536,
    .render = render_lineage_json, .guess = guess_kin)
ROW(NEIGHBOURS, "models/ID/neighbours", MODEL, ROW_DIR | M, VIEW_WEIGHTS, 0)
ROW(NEIGHBOURS_WEIGHTS, "models/ID/neighbours/weights.tsv", NEIGHBOURS, ROW_LAKE | ROW_WORK | ROW_SIGNATURES | T | M,
    VIEW_WEIGHTS, 4096, .render = render_neighbours)
ROW(TO_EXACT, "models/ID/exact", MODEL, ROW_LINK | M, VIEW_WEIGHTS, 0, .target = target_part)
ROW(TO_DIFF, "models/ID/diff", MODEL, ROW_LINK | M, VIEW_WEIGHTS, 0, .target = target_part)
ROW(TO_EXPORT, "models/ID/export", MODEL, ROW_LINK | M, VIEW_WEIGHTS, 0, .target = target_part)

ROW(ALL, "all", ROOT, ROW_DIR, 0, 0, .list = list_all, .lookup = lookup_all)
ROW(ALL_LINK, "all/FLATID", ALL, ROW_LINK | ROW_HIDDEN | M, 0, 0, .target = target_all)

ROW(BY, "by", ROOT, ROW_DIR, 0, 0, .list = list_by, .lookup = lookup_by)
ROW(BY_KEY, "by/KEY", BY, ROW_DIR | ROW_HIDDEN, 0, 0, .list = list_values, .lookup = lookup_values)
ROW(BY_VALUE, "by/KEY/VALUE", BY_KEY, ROW_DIR | ROW_HIDDEN, 0, 0, .list = list_facet, .lookup = lookup_facet)
ROW(BY_LINK, "by/KEY/VALUE/FLATID", BY_VALUE, ROW_LINK | ROW_HIDDEN | M, 0, 0, .target = target_facet)

ROW(GRAPH, "graph", ROOT, ROW_DIR, 0, 0, .list = list_graph, .lookup = lookup_graph)
ROW(GRAPH_MODEL, "graph/FLATID", GRAPH, ROW_DIR | ROW_HIDDEN | ROW_LAKE | ROW_COMPUTED | ROW_LINEAGE | M, 0, 0,
	.list = list_graph_model, .lookup = lookup_graph_model, .ready = ready_lineage, .prepare = prepare_lineage)
ROW(GRAPH_KIN, "graph/FLATID/KIN", GRAPH_MODEL, ROW_DIR | ROW_HIDDEN | ROW_LAKE | ROW_COMPUTED | ROW_LINEAGE | M, 0, 0,
	.list = list_kin, .lookup = lookup_kin, .ready = ready_lineage, .prepare = prepare_lineage)
ROW(GRAPH_NEAR, "graph/FLATID/neighbours", GRAPH_MODEL,
    ROW_DIR | ROW_HIDDEN | ROW_LAKE | ROW_COMPUTED | ROW_SIGNATURES | M, 0, 0, .list = list_near, .lookup = lookup_near,
    .ready = ready_near, .prepare = prepare_near)
ROW(GRAPH_ROOT, "graph/FLATID/root", GRAPH_MODEL, ROW_LINK | ROW_HIDDEN | ROW_PAIR | M, 0, 0, .target = target_root)
ROW(GRAPH_LINK, "graph/FLATID/KIN/NN-FLATID", GRAPH_KIN, ROW_LINK | ROW_HIDDEN | ROW_PAIR | M, 0, 0,
    .target = target_kin)

ROW(FAMILIES, "families", ROOT, ROW_DIR | ROW_COMPUTED | ROW_LINEAGE, 0, 0,
	.list = list_families, .lookup = lookup_families, .ready = ready_families, .prepare = prepare_lineage)
ROW(FAMILY, "families/FLATID", FAMILIES, ROW_DIR | ROW_HIDDEN | ROW_LAKE | M, 0, 0)
ROW(FAMILY_MEMBERS, "families/FLATID/members", FAMILY, ROW_DIR | ROW_LAKE | ROW_COMPUTED | ROW_LINEAGE | M, 0, 0,
	.list = list_members, .lookup = lookup_members, .ready = ready_families, .prepare = prepare_lineage)
ROW(FAMILY_LINK, "families/FLATID/members/FLATID", FAMILY_MEMBERS, ROW_LINK | ROW_HIDDEN | M, 0, 0,
    .target = target_member)
ROW(FAMILY_TREE, "families/FLATID/tree.txt", FAMILY, ROW_LAKE | ROW_LINEAGE | M, 0, 65536, .render = render_family_tree,
	.guess = guess_kin)
ROW(FAMILY_DOT, "families/FLATID/graph.dot", FAMILY, ROW_LAKE | ROW_LINEAGE | M, 0, 65536, .render = render_family_dot,
	.guess = guess_kin)
ROW(FAMILY_SVG, "families/FLATID/graph.svg", FAMILY, ROW_LAKE | ROW_WORK | ROW_LINEAGE | M, 0, 1 << 20,
    .render = render_family_svg, .applies = has_graphviz, .guess = guess_kin)
ROW(FAMILY_LINEAGE, "families/FLATID/lineage.tsv", FAMILY, ROW_LAKE | ROW_LINEAGE | T | M, 0, 65536,
    .render = render_family_lineage, .guess = guess_kin)

ROW(EXACT, "exact", ROOT, ROW_DIR, 0, 0, .list = list_exact, .lookup = lookup_exact)
ROW(EXACT_MODEL, "exact/FLATID", EXACT, ROW_DIR | ROW_HIDDEN | M, VIEW_WEIGHTS, 0)
ROW(EXACT_STATISTICS, "exact/FLATID/statistics.tsv", EXACT_MODEL, ROW_WORK | ROW_PASS | T | M, VIEW_WEIGHTS, 1 << 20,
    .render = render_exact_statistics, .guess = guess_statistics)
ROW(EXACT_FILES, "exact/FLATID/files.tsv", EXACT_MODEL, ROW_WORK | ROW_PASS | T | M, 0, 65536,
    .render = render_exact_files)

ROW(DIFF, "diff", ROOT, ROW_DIR, 0, 0, .list = list_diff, .lookup = lookup_diff)
ROW(DIFF_MODEL, "diff/FLATID", DIFF, ROW_DIR | ROW_HIDDEN | ROW_LAKE | ROW_COMPUTED | ROW_LINEAGE | M, VIEW_WEIGHTS, 0,
	.list = list_diff_model, .lookup = lookup_diff_model, .ready = ready_lineage_list, .prepare = prepare_lineage)
ROW(DIFF_PAIR, "diff/FLATID/OTHER", DIFF_MODEL, ROW_DIR | ROW_HIDDEN | ROW_PAIR | M, VIEW_WEIGHTS, 0)
ROW(DIFF_SUMMARY, "diff/FLATID/OTHER/summary.txt", DIFF_PAIR,
    ROW_WORK | ROW_PASS | ROW_SIGNATURES | ROW_LINEAGE | ROW_KIN | ROW_PAIR | M, VIEW_WEIGHTS, 65536,
    .render = render_diff_summary)
ROW(DIFF_TENSORS, "diff/FLATID/OTHER/tensors.tsv", DIFF_PAIR, ROW_WORK | ROW_PASS | ROW_PAIR | T | M, VIEW_WEIGHTS,
    1 << 20, .render = render_diff_tensors, .guess = guess_diff)
ROW(DIFF_EXPLAIN, "diff/FLATID/OTHER/explain.tsv", DIFF_PAIR, ROW_WORK | ROW_PASS | ROW_PAIR | T | M, VIEW_WEIGHTS,
    1 << 18, .render = render_diff_explain, .guess = guess_diff)
ROW(DIFF_CONFIG, "diff/FLATID/OTHER/config.diff", DIFF_PAIR, ROW_WORK | ROW_PASS | ROW_PAIR | M, VIEW_CONFIG, 0,
    .render = render_diff_config, .guess = guess_documents)
ROW(DIFF_CARD, "diff/FLATID/OTHER/card.diff", DIFF_PAIR, ROW_WORK | ROW_PASS | ROW_PAIR | M, VIEW_CARD, 0,
    .render = render_diff_card, .guess = guess_documents)
ROW(DIFF_TOKENIZER, "diff/FLATID/OTHER/tokenizer.diff", DIFF_PAIR, ROW_WORK | ROW_PASS | ROW_PAIR | M, VIEW_TOKENIZER,
    0, .render = render_diff_tokenizer, .guess = guess_documents)

ROW(EXPORT, "export", ROOT, ROW_DIR, 0, 0, .list = list_export, .lookup = lookup_export)
ROW(EXPORT_MODEL, "export/FLATID", EXPORT, ROW_DIR | ROW_HIDDEN | M, VIEW_WEIGHTS, 0, .list = list_export_model,
    .lookup = lookup_export_model)
ROW(EXPORT_WEIGHTS, "export/FLATID/model.safetensors", EXPORT_MODEL, ROW_WORK | ROW_STREAM | ROW_EXACT_SIZE | M,
    VIEW_WEIGHTS, 0, .open = open_export, .size = size_export, .guess = guess_export)
ROW(EXPORT_CONFIG, "export/FLATID/config.json", EXPORT_MODEL, ROW_WORK | M, VIEW_WEIGHTS | VIEW_CONFIG, 16384,
	.render = render_export_config, .applies = has_export_config)
ROW(EXPORT_TENSORS, "export/FLATID/tensors", EXPORT_MODEL, ROW_DIR | ROW_COMPUTED | M, VIEW_WEIGHTS, 0,
    .list = list_export_tensors, .lookup = lookup_export_tensors, .ready = ready_export_tensors,
    .prepare = prepare_export_tensors)
ROW(EXPORT_NPY, "export/FLATID/tensors/NAME.npy", EXPORT_TENSORS,
    ROW_HIDDEN | ROW_WORK | ROW_STREAM | ROW_EXACT_SIZE | M, VIEW_WEIGHTS, 0, .open = open_export_npy,
    .size = size_export_npy)
ROW(EXPORT_DELTAS, "export/FLATID/delta", EXPORT_MODEL, ROW_DIR | ROW_LAKE | ROW_COMPUTED | ROW_LINEAGE | M,
    VIEW_WEIGHTS, 0, .list = list_export_delta, .lookup = lookup_export_delta, .ready = ready_export_delta,
    .prepare = prepare_export_delta)
ROW(EXPORT_DELTA, "export/FLATID/delta/OTHER.safetensors", EXPORT_DELTAS,
    ROW_HIDDEN | ROW_WORK | ROW_STREAM | ROW_EXACT_SIZE | ROW_PAIR | M, VIEW_WEIGHTS, 0, .open = open_export_delta,
    .size = size_export_delta, .guess = guess_export_delta)
ROW(EXPORT_LINK, "export/FLATID/FILE", EXPORT_MODEL, ROW_LINK | ROW_HIDDEN | M, 0, 0, .target = target_export_file)

ROW(LAKE, "lake", ROOT, ROW_DIR, 0, 0)
ROW(LAKE_SUMMARY, "lake/summary.txt", LAKE, ROW_LAKE | ROW_HEADERS, 0, 16384, .render = render_lake_summary)
ROW(LAKE_STATUS, "lake/status.txt", LAKE, ROW_LIVE, 0, 4096, .render = render_lake_status)
ROW(LAKE_GENERATION, "lake/generation", LAKE, ROW_LAKE | ROW_EXACT_SIZE, 0, 32, .render = render_generation,
    .size = size_generation)
ROW(LAKE_MODELS, "lake/models.tsv", LAKE, ROW_LAKE | ROW_WORK | ROW_HEADERS | ROW_LINEAGE | T, 0, 0,
    .render = render_lake_models,
	.guess = guess_lake)
ROW(LAKE_LINEAGE, "lake/lineage.tsv", LAKE, ROW_LAKE | ROW_WORK | ROW_LINEAGE | T, 0, 0, .render = render_lake_lineage,
	.guess = guess_lake)
ROW(LAKE_DUPLICATES, "lake/duplicates.tsv", LAKE, ROW_LAKE | ROW_WORK | ROW_LINEAGE | T, 0, 0,
    .render = render_duplicates, .guess = guess_lake)
ROW(LAKE_PROBLEMS, "lake/problems.tsv", LAKE, ROW_LAKE | ROW_WORK | ROW_HEADERS | T, 0, 0, .render = render_lake_problems,
	.guess = guess_lake)
ROW(LAKE_UNREAD, "lake/unread.tsv", LAKE, ROW_LAKE | ROW_WORK | T, 0, 0, .render = render_unread,
	.guess = guess_lake)
ROW(LAKE_DOT, "lake/graph.dot", LAKE, ROW_LAKE | ROW_WORK | ROW_LINEAGE, 0, 0, .render = render_lake_dot,
	.guess = guess_lake)
ROW(LAKE_SVG, "lake/graph.svg", LAKE, ROW_LAKE | ROW_WORK | ROW_LINEAGE, 0, 4 << 20, .render = render_lake_svg,
    .applies = has_graphviz)
ROW(LAKE_JSON, "lake/graph.json", LAKE, ROW_LAKE | ROW_WORK | ROW_LINEAGE, 0, 0, .render = render_lake_json,
	.guess = guess_lake)
/* at the end: contents are kept under the numbers of the rows */
ROW(EXPORT_ADAPTER, "export/FLATID/adapter_model.safetensors", EXPORT_MODEL, ROW_LINK | M, VIEW_WEIGHTS | VIEW_ADAPTER,
    0, .target = target_export_adapter, .applies = has_export_adapter)

#undef M
#undef T
