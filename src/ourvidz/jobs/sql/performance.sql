-- Goals of an installation, and how far its performance records go.

-- name: add_goal
INSERT INTO perf_goal (id, at, body) VALUES (:id, :now, :body);

-- name: goals
SELECT body FROM perf_goal ORDER BY seq;

-- name: remove_goal
DELETE FROM perf_goal WHERE id = :id RETURNING id;

-- name: perf_head
SELECT COALESCE(MAX(id), 0) AS newest, COUNT(*) AS number FROM perf_record;
