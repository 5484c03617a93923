#ifndef TARN_TREE_FUNCTIONS_H
#define TARN_TREE_FUNCTIONS_H
/* The functions that rows.h names, by the file that has them. */
#include "core/tree/row.h"

#define RENDER(f) int f(struct render *r)
#define LIST(f) int f(struct tree *t, struct view *v, struct node dir, uint64_t cookie, tree_fill fill, void *arg)
#define LOOKUP(f) int f(struct tree *t, struct view *v, struct node dir, const char *name, struct tree_attr *a)
#define TARGET(f) int f(struct tree *t, struct view *v, struct node n, struct buf *out)
#define SIZE(f) int64_t f(struct tree *t, struct view *v, struct node n)
#define GUESS(f) uint64_t f(struct tree *t, struct view *v, struct node n)
#define READY(f) bool f(struct tree *t, struct view *v, struct node n, const char *name)

/* list_models.c */
LIST(list_models); LOOKUP(lookup_models);
LIST(list_all); LOOKUP(lookup_all); TARGET(target_all);
LIST(list_exact); LOOKUP(lookup_exact);
LIST(list_graph); LOOKUP(lookup_graph);
LIST(list_export); LOOKUP(lookup_export);
LIST(list_diff); LOOKUP(lookup_diff); LIST(list_diff_model); LOOKUP(lookup_diff_model);
TARGET(target_part);
/* list_metadata.c */
LIST(list_metadata); LOOKUP(lookup_metadata); SIZE(size_fact); RENDER(render_fact); RENDER(render_metadata);
/* list_files.c */
LIST(list_files); LOOKUP(lookup_files); TARGET(target_file); TARGET(target_readme); SIZE(size_served);
int open_served(struct render *r, struct tree_file **f);
/* list_by.c */
LIST(list_by); LOOKUP(lookup_by); LIST(list_values); LOOKUP(lookup_values); LIST(list_facet); LOOKUP(lookup_facet);
TARGET(target_facet);
/* list_graph.c */
LIST(list_graph_model);
LOOKUP(lookup_graph_model);
LIST(list_kin);
LOOKUP(lookup_kin);
LIST(list_near);
LOOKUP(lookup_near);
TARGET(target_root); TARGET(target_kin);
READY(ready_lineage); READY(ready_lineage_list); READY(ready_near); RENDER(prepare_lineage); RENDER(prepare_near);
/* render_model.c */
RENDER(render_tensors); RENDER(render_signature); RENDER(render_problems); RENDER(render_evaluations);
/* render_lineage.c */
RENDER(render_parents); RENDER(render_tree); RENDER(render_neighbours); RENDER(render_lake_lineage);
/* render_family.c */
RENDER(render_family_tree);
/* list_families.c */
LIST(list_families);
LOOKUP(lookup_families);
LIST(list_members);
LOOKUP(lookup_members);
TARGET(target_member);
READY(ready_families);
SIZE(size_family); SIZE(size_root); RENDER(render_family); RENDER(render_root);
bool has_family(struct tree *t, const struct view_model *m);
bool has_root(struct tree *t, const struct view_model *m);
int family_fact(struct tree *t, struct view *v, uint32_t model, bool root, struct buf *out);
/* render_graph.c */
RENDER(render_graph_dot); RENDER(render_graph_svg); RENDER(render_lineage_json); RENDER(render_why);
RENDER(render_family_dot); RENDER(render_family_svg); RENDER(render_family_lineage);
RENDER(render_lake_dot); RENDER(render_lake_svg); RENDER(render_lake_json);
bool has_graphviz(struct tree *t, const struct view_model *m);
/* render_sources.c, render_declared.c */
RENDER(render_sources); RENDER(render_declared); RENDER(render_cite);
/* render_lake.c */
RENDER(render_cachedir);
RENDER(render_lake_summary);
RENDER(render_lake_status);
RENDER(render_generation);
SIZE(size_generation);
RENDER(render_lake_models); RENDER(render_lake_problems); RENDER(render_unread);
/* render_readme.c */
RENDER(render_readme);
/* list_export.c, open_export.c */
LIST(list_export_model); LOOKUP(lookup_export_model); TARGET(target_export_file); SIZE(size_export);
bool has_export_adapter(struct tree *t, const struct view_model *m);
TARGET(target_export_adapter);
READY(ready_export_tensors); RENDER(prepare_export_tensors);
LIST(list_export_tensors); LOOKUP(lookup_export_tensors); SIZE(size_export_npy);
READY(ready_export_delta); RENDER(prepare_export_delta);
int measure_delta(struct render *r, const struct view_model *other);
LIST(list_export_delta); LOOKUP(lookup_export_delta); SIZE(size_export_delta);
uint64_t guess_export_delta(struct tree *t, struct view *v, struct node n);
RENDER(render_export_config);
bool has_export_config(struct tree *t, const struct view_model *m);
int open_export(struct render *r, struct tree_file **f);
int open_export_npy(struct render *r, struct tree_file **f);
int open_export_delta(struct render *r, struct tree_file **f);
/* guess.c */
GUESS(guess_tensors); GUESS(guess_statistics); GUESS(guess_sources); GUESS(guess_diff); GUESS(guess_signature);
GUESS(guess_export);
GUESS(guess_documents);
GUESS(guess_evaluations);
GUESS(guess_problems);
GUESS(guess_lake);
GUESS(guess_kin);
/* render_exact.c, render_diff.c */
RENDER(render_exact_statistics); RENDER(render_exact_files); RENDER(render_duplicates);
RENDER(render_diff_summary); RENDER(render_diff_tensors); RENDER(render_diff_config); RENDER(render_diff_card);
RENDER(render_diff_tokenizer); RENDER(render_diff_explain); RENDER(render_audit);

#endif
