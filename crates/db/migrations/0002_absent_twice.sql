-- A row that several answers did not show may have slipped between two of them: it is gone only if
-- the next fetch says the same. Discussions and notes had the column from the start.
ALTER TABLE labels ADD COLUMN missing_since INTEGER;
ALTER TABLE milestones ADD COLUMN missing_since INTEGER;
ALTER TABLE resource_events ADD COLUMN missing_since INTEGER;
