"""Ranks on the virtual clock: what they call, where they meet, who goes on when; no torch."""
