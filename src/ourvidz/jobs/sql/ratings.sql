-- What people say of outputs.

-- name: put_rating
INSERT INTO rating (job_id, rater, tenant, job_type, settings, stars, tags, at)
VALUES (:job_id, :rater, :tenant, :job_type, :settings, :stars, :tags, :now)
ON CONFLICT (job_id, rater) DO UPDATE SET
    stars = excluded.stars, tags = excluded.tags, at = excluded.at
RETURNING *;

-- name: ratings
SELECT * FROM rating /*where*/ LIMIT :limit;

-- name: touch_job
UPDATE job SET changed_at = :now WHERE id = :id;

-- name: ratings_of_jobs
SELECT * FROM rating WHERE job_id IN (:*job_ids) AND rater = :rater;

-- name: remove_rating
DELETE FROM rating WHERE job_id = :job_id AND rater = :rater RETURNING job_id;

-- name: add_blind_test
INSERT INTO blind_test (
    id, tenant, first_job, second_job, first_settings, second_settings, is_swapped, at
) VALUES (
    :id, :tenant, :first_job, :second_job, :first_settings, :second_settings, :is_swapped, :now
)
RETURNING *;

-- name: blind_test
SELECT * FROM blind_test WHERE id = :id;

-- name: blind_tests
SELECT * FROM blind_test /*where*/ LIMIT :limit;

-- name: add_vote
INSERT INTO blind_vote (test_id, rater, choice, at) VALUES (:test_id, :rater, :choice, :now);

-- name: vote
SELECT choice FROM blind_vote WHERE test_id = :test_id AND rater = :rater;

-- name: votes
SELECT blind_test.*, blind_vote.seq, blind_vote.rater, blind_vote.choice
FROM blind_vote JOIN blind_test ON blind_test.id = blind_vote.test_id
/*where*/ LIMIT :limit;
