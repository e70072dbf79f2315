"""The only SQL of the market: tables, and functions that read and write one noun each."""
