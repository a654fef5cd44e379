// What the server's Java may take for itself, and what its machine has, in bytes.
//
// @return heap     INTEGER  the most that its heap may grow to
// @return machine  INTEGER  memory of the machine, or of the container
CALL dbms.queryJmx('java.lang:type=Memory') YIELD attributes AS of_java
CALL dbms.queryJmx('java.lang:type=OperatingSystem') YIELD attributes AS of_machine
RETURN of_java.HeapMemoryUsage.value.properties.max AS heap, of_machine.TotalMemorySize.value AS machine
