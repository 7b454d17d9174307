"""The SQL stores of posted events and opt-outs: durable, bounded in time, and cheap to read in each request."""
