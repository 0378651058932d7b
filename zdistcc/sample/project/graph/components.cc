#include <algorithm>
#include <iterator>
#include <numeric>
#include <set>

#include "toolbox/check.h"
#include "toolbox/graph.hh"

namespace toolbox::graph {
namespace {

std::vector<NodeId> all_nodes(const Graph &graph)
{
    std::vector<NodeId> nodes(graph.size());
    std::iota(nodes.begin(), nodes.end(), NodeId{0});
    return nodes;
}

std::vector<NodeId> latest_first(const Graph &graph)
{
    std::vector<NodeId> left;
    depth_first(graph, all_nodes(graph), [&](NodeId, NodeId node) { left.push_back(node); });
    std::reverse(left.begin(), left.end());
    return left;
}

}  // namespace

// Kosaraju: what is reached backwards from the node left last is its component.
std::vector<std::vector<NodeId>> components(const Graph &graph)
{
    std::vector<std::vector<NodeId>> found;
    std::optional<NodeId> current;
    depth_first(graph.reversed(), latest_first(graph), [&](NodeId root, NodeId node) {
        if (current != root) {
            current = root;
            found.emplace_back();
        }
        found.back().push_back(node);
    });
    for (auto &component : found)
        std::sort(component.begin(), component.end());
    return found;
}

std::optional<std::vector<NodeId>> topological_order(const Graph &graph)
{
    auto order = latest_first(graph);
    std::vector<std::size_t> place(graph.size());
    for (std::size_t i = 0; i < order.size(); ++i)
        place[order[i]] = i;
    for (NodeId node = 0; node < graph.size(); ++node) {
        const auto &edges = graph.edges(node);
        if (std::any_of(edges.begin(), edges.end(), [&](const Edge &e) { return place[e.to] <= place[node]; }))
            return std::nullopt;
    }
    return order;
}

}  // namespace toolbox::graph

void check_components()
{
    using namespace toolbox::graph;
    Graph build;
    for (const auto &[from, to] : std::vector<std::pair<std::string, std::string>>{
             {"main.o", "toolbox"}, {"json.o", "toolbox"}, {"json.c", "json.o"}, {"json.h", "json.o"},
             {"json.h", "main.o"}, {"main.c", "main.o"}, {"toolbox", "test"}})
        build.connect(from, to);
    const auto order = topological_order(build);
    CHECK(order.has_value());
    CHECK(order && build.name(order->back()) == "test");
    CHECK(components(build).size() == build.size());
    build.connect("test", "json.h");
    CHECK(!topological_order(build).has_value());
    const auto parts = components(build);
    std::multiset<std::size_t> sizes;
    std::transform(parts.begin(), parts.end(), std::inserter(sizes, sizes.end()),
                   [](const auto &part) { return part.size(); });
    CHECK((sizes == std::multiset<std::size_t>{1, 1, 5}));
    CHECK(components(Graph{}).empty());
}
