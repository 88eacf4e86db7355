"""Loss terms: each returns one value per sample and knows no model."""
