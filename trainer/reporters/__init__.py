"""Who is told how a run goes: `base` is what the loop calls; each of the others shows it to somebody."""
