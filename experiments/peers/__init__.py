"""The same training written with other tools: for comparison, and as independent oracles."""
