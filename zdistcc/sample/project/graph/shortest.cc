#include <algorithm>
#include <functional>
#include <queue>

#include "toolbox/base.h"
#include "toolbox/check.h"
#include "toolbox/graph.hh"

namespace toolbox::graph {

// Dijkstra; the queue may hold outdated entries, which are skipped when they come up.
Path shortest_path(const Graph &graph, NodeId from, NodeId to)
{
    using Entry = std::pair<double, NodeId>;
    std::priority_queue<Entry, std::vector<Entry>, std::greater<>> queue;
    std::vector<double> distance(graph.size(), unreachable);
    std::vector<NodeId> before(graph.size(), from);
    distance[from] = 0;
    queue.emplace(0, from);
    while (!queue.empty()) {
        const auto [so_far, node] = queue.top();
        queue.pop();
        if (node == to)
            break;
        if (so_far > distance[node])
            continue;
        for (const auto &[next, weight] : graph.edges(node)) {
            if (so_far + weight < distance[next]) {
                distance[next] = so_far + weight;
                before[next] = node;
                queue.emplace(distance[next], next);
            }
        }
    }
    Path path{distance[to], {}};
    if (path.length == unreachable)
        return path;
    for (NodeId node = to; node != from; node = before[node])
        path.nodes.push_back(node);
    path.nodes.push_back(from);
    std::reverse(path.nodes.begin(), path.nodes.end());
    return path;
}

// Floyd and Warshall
std::vector<std::vector<double>> all_distances(const Graph &graph)
{
    const std::size_t count = graph.size();
    std::vector<std::vector<double>> distance(count, std::vector<double>(count, unreachable));
    for (NodeId node = 0; node < count; ++node) {
        distance[node][node] = 0;
        for (const Edge &edge : graph.edges(node))
            distance[node][edge.to] = std::min(distance[node][edge.to], edge.weight);
    }
    for (NodeId via = 0; via < count; ++via)
        for (auto &row : distance)
            for (NodeId to = 0; to < count; ++to)
                row[to] = std::min(row[to], row[via] + distance[via][to]);
    return distance;
}

}  // namespace toolbox::graph

void check_shortest()
{
    using namespace toolbox::graph;
    Graph graph;
    prng chance;
    prng_seed(&chance, 8);
    constexpr unsigned nodes = 40;
    for (unsigned i = 0; i < nodes; ++i)
        graph.node(std::to_string(i));
    for (unsigned i = 0; i < 3 * nodes; ++i)
        graph.connect(std::to_string(prng_below(&chance, nodes)), std::to_string(prng_below(&chance, nodes)),
                      1 + prng_below(&chance, 20));
    const auto distances = all_distances(graph);
    unsigned wrong = 0, reached = 0;
    for (NodeId from = 0; from < graph.size(); ++from) {
        for (NodeId to = 0; to < graph.size(); ++to) {
            const Path path = shortest_path(graph, from, to);
            wrong += path.length != distances[from][to];
            if (path.length == unreachable)
                continue;
            ++reached;
            double sum = 0;
            for (std::size_t i = 1; i < path.nodes.size(); ++i)
                sum += distances[path.nodes[i - 1]][path.nodes[i]];
            wrong += sum != path.length || path.nodes.front() != from || path.nodes.back() != to;
        }
    }
    CHECK(wrong == 0);
    CHECK(reached > nodes * nodes / 4);
}
