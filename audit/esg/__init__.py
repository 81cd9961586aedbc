"""From masses to what is disclosed: exact quantities, locked factor sets, disclosures, restatements."""
