#include "operators/catalog.h"

#include "operators/aggregate.h"
#include "operators/dedup.h"
#include "operators/filter.h"
#include "operators/lookup.h"
#include "operators/post.h"
#include "operators/project.h"
#include "operators/require.h"
#include "operators/route.h"
#include "operators/union.h"

namespace takt {

const std::vector<const OperatorType*>& operator_catalog() {
    static const std::vector<const OperatorType*> catalog = {
        &filter_type(), &require_type(), &project_type(),   &route_type(), &union_type(),
        &dedup_type(),  &lookup_type(),  &aggregate_type(), &post_type(),
    };
    return catalog;
}

}  // namespace takt
