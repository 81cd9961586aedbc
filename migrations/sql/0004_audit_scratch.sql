-- Where an audit lays out what it computes on the way: tables that live and die within its one transaction, which
-- it never commits.  They are no temporary tables, because parallel workers can't read those.

CREATE SCHEMA audit_scratch AUTHORIZATION tally_owner;
GRANT USAGE, CREATE ON SCHEMA audit_scratch TO tally_audit;
