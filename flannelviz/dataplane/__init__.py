"""READS tables: lookups, netfilter, one hop, the whole trace."""
