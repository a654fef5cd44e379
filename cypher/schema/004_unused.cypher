// No query starts from these: circuits of other seeds are found by way of their graphs, and a set's hash is only shown.
DROP INDEX circuit_query IF EXISTS;

DROP INDEX neuron_set_hash IF EXISTS;
