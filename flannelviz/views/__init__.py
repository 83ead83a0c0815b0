"""READ tables and traces, WRITE nothing."""
