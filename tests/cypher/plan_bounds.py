"""How many db hits a query of `cypher/analysis/` may take: for each neuron and edge of one graph, and beside.

A query that begins to read what it need not, the graphs of other epochs or a layer for each neuron of another, takes
many times that. Those that follow paths are bounded by their beam and not by the graph.
"""

BOUNDS: dict[str, tuple[float, int]] = {
    # graphs
    "epoch_graphs": (0, 40_000), "latest_graph": (0, 40_000), "graph_sizes": (15, 1_000), "graph_neurons": (1, 1_000),
    "graph_edges": (9, 1_000),
    # neurons: most read the states alone, a tenth of the edges or fewer
    "top_influential_neurons": (1, 500), "neuron_influence": (1, 500), "neuron_flow": (1, 500),
    "central_neurons": (4, 500), "central_neurons_gds": (5, 1_000), "personalised_pagerank": (1, 500),
    "personalised_pagerank_gds": (5, 1_000), "summit_neurons": (1, 500), "betweenness": (1, 500),
    "growing_neurons": (3, 500), "growth_since_epoch": (3, 500), "class_specific_neurons": (4, 500),
    "shared_neurons": (3, 500), "dead_neurons": (2, 500), "saturated_neurons": (2, 500), "redundant_neurons": (1, 500),
    "supporting_and_inhibiting_neurons": (5, 1_000),
    # paths: 200 of the beam, and what flows into each, a layer
    "strongest_paths": (0, 200_000), "widest_paths": (0, 250_000), "heaviest_paths": (0, 200_000),
    "strongest_paths_gds": (5, 2_000), "path_mass": (1, 500),
    # subgraphs
    "pruned_neurons": (1, 500), "pruned_edges": (6, 500), "greedy_edges": (3, 1_000), "top_edges": (8, 1_000),
    "communities": (4, 500), "communities_gds": (8, 1_000), "k_core": (1, 500), "k_core_gds": (4, 500),
    "minimum_cut": (6, 500),
    # circuits by their evidence, and those of other seeds: whatever the size of the graphs
    "faithful_circuits": (0, 1_000), "circuit_evidence": (0, 500), "circuit_in_other_seeds": (0, 1_000),
    # failures: two graphs
    "failure_edges": (20, 1_000), "blamed_inputs": (2, 1_000),
    # time: two graphs of the run are read, and for a circuit the edges into its neurons
    "influence_through_time": (0, 1_000), "circuit_stability": (15, 1_000), "edge_births_and_deaths": (24, 1_000),
    "influence_drift": (4, 1_000), "circuit_through_time": (12, 1_000), "first_epoch_of_circuit": (12, 1_000),
    "stage_against_stage": (3, 1_000), "matched_neurons": (1, 2_000), "run_against_run": (4, 1_000),
    "seed_agreement": (3, 2_000),
    # provenance; whether both ends of an edge are in a circuit takes ten hits or more by one of the planner's two ways
    "choosing_query": (0, 500), "neuron_set": (0, 500), "training_of_neuron": (1, 500),
    "stored_circuits": (25, 2_000), "neuron_set_membership": (0, 500), "gain_of_queries": (0, 1_000),
}  # fmt: skip
