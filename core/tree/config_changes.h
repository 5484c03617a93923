#ifndef TARN_TREE_CONFIG_CHANGES_H
#define TARN_TREE_CONFIG_CHANGES_H
#include "core/tree/row.h"

/* Appends "Config": one line for each key that the two models' JSON configs (config.json, adapter_config.json, …) tell
 * differently, "file: key: other's value -> this one's". */
int config_changes(struct render *r);

#endif
