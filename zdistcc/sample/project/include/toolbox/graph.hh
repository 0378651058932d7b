// Directed graphs with named nodes and weighted edges.
#ifndef TOOLBOX_GRAPH_HH
#define TOOLBOX_GRAPH_HH

#include <cstddef>
#include <functional>
#include <limits>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

namespace toolbox::graph {

using NodeId = std::size_t;
constexpr double unreachable = std::numeric_limits<double>::infinity();

struct Edge {
    NodeId to;
    double weight;
};

class Graph {
public:
    NodeId node(const std::string &name);
    void connect(const std::string &from, const std::string &to, double weight = 1);
    std::optional<NodeId> find(const std::string &name) const;
    const std::string &name(NodeId id) const { return names_[id]; }
    const std::vector<Edge> &edges(NodeId id) const { return edges_[id]; }
    std::size_t size() const { return names_.size(); }
    Graph reversed() const;

private:
    std::vector<std::string> names_;
    std::vector<std::vector<Edge>> edges_;
    std::unordered_map<std::string, NodeId> ids_;
};

// Visit every node once, depth first; `leave` is called when all that is reachable has been visited.
template <typename Leave> void depth_first(const Graph &graph, const std::vector<NodeId> &order, Leave &&leave)
{
    std::vector<bool> seen(graph.size());
    struct Step {
        NodeId node;
        std::size_t next;
    };
    for (NodeId root : order) {
        if (seen[root])
            continue;
        std::vector<Step> stack{{root, 0}};
        seen[root] = true;
        while (!stack.empty()) {
            auto &[node, next] = stack.back();
            if (next == graph.edges(node).size()) {
                leave(root, node);
                stack.pop_back();
                continue;
            }
            NodeId to = graph.edges(node)[next++].to;
            if (!seen[to]) {
                seen[to] = true;
                stack.push_back({to, 0});
            }
        }
    }
}

struct Path {
    double length;
    std::vector<NodeId> nodes;
};

Path shortest_path(const Graph &graph, NodeId from, NodeId to);
std::vector<std::vector<double>> all_distances(const Graph &graph);
// Strongly connected components; and an order in which edges point forward, if there is one.
std::vector<std::vector<NodeId>> components(const Graph &graph);
std::optional<std::vector<NodeId>> topological_order(const Graph &graph);

}  // namespace toolbox::graph

#endif
