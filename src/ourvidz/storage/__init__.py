"""Where finished files live: a local directory, an S3 bucket, Supabase; signed URLs for all."""
