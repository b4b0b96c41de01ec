"""What training sends and learns from: models of known size, and real data."""
