#include "toolbox/graph.hh"

#include <algorithm>
#include <numeric>

#include "toolbox/check.h"

namespace toolbox::graph {

NodeId Graph::node(const std::string &name)
{
    const auto [found, is_new] = ids_.try_emplace(name, names_.size());
    if (is_new) {
        names_.push_back(name);
        edges_.emplace_back();
    }
    return found->second;
}

void Graph::connect(const std::string &from, const std::string &to, double weight)
{
    const NodeId start = node(from), end = node(to);
    edges_[start].push_back({end, weight});
}

std::optional<NodeId> Graph::find(const std::string &name) const
{
    if (auto found = ids_.find(name); found != ids_.end())
        return found->second;
    return std::nullopt;
}

Graph Graph::reversed() const
{
    Graph result;
    for (const std::string &name : names_)
        result.node(name);
    for (NodeId from = 0; from < size(); ++from)
        for (const Edge &edge : edges_[from])
            result.edges_[edge.to].push_back({from, edge.weight});
    return result;
}

}  // namespace toolbox::graph

void check_graph()
{
    using namespace toolbox::graph;
    Graph roads;
    roads.connect("harbour", "market", 2);
    roads.connect("market", "castle", 3);
    roads.connect("harbour", "castle", 7);
    roads.node("island");
    CHECK(roads.size() == 4);
    CHECK(roads.find("castle").has_value());
    CHECK(!roads.find("moon").has_value());
    CHECK(roads.edges(*roads.find("harbour")).size() == 2);
    const Graph back = roads.reversed();
    CHECK(back.size() == 4);
    CHECK(back.edges(*back.find("castle")).size() == 2);
    CHECK(back.edges(*back.find("harbour")).empty());
    CHECK(back.name(*back.find("market")) == "market");
    std::vector<NodeId> order(roads.size()), left;
    std::iota(order.begin(), order.end(), NodeId{0});
    depth_first(roads, order, [&](NodeId, NodeId node) { left.push_back(node); });
    CHECK(left.size() == roads.size());
    CHECK(roads.name(left.front()) == "castle");
    CHECK(std::is_permutation(left.begin(), left.end(), order.begin()));
}
