#!/bin/sh
# A video with curl and jq, through the OpenAI-compatible routes; then the same natively.
#   sh examples/curl.sh "a red circle moving left"
# OURVIDZ_URL and OURVIDZ_API_KEY name another server or a key.
set -eu

url=${OURVIDZ_URL:-http://127.0.0.1:8000}
key=${OURVIDZ_API_KEY:-not-needed-on-loopback}
prompt=${1:-a red circle moving left on a blue background}

ask() {
    curl --silent --show-error --fail-with-body -H "Authorization: Bearer $key" "$@"
}

# OpenAI-compatible: JSON or a form (-F prompt=...), as you like.
body=$(jq -n --arg prompt "$prompt" '{model: "video_fast", prompt: $prompt}')
video=$(ask "$url/v1/videos" -H 'Content-Type: application/json' -d "$body")
id=$(echo "$video" | jq -r .id)
echo "queued $id"

while :; do
    video=$(ask "$url/v1/videos/$id")
    status=$(echo "$video" | jq -r .status)
    echo "$status $(echo "$video" | jq -r .progress) %"
    case $status in
    completed) break ;;
    failed)
        echo "$video" | jq -r .error.message >&2
        exit 1
        ;;
    esac
    sleep 1
done
ask "$url/v1/videos/$id/content" -o "$id.mp4"
ask "$url/v1/videos/$id/content?variant=spritesheet" -o "$id.webp"
echo "$id.mp4 $id.webp"

# Native: an image, its events as they come, its files by signed addresses.
body=$(jq -n --arg prompt "$prompt" '{job_type: "image_fast", prompt: $prompt}')
job=$(ask "$url/api/v1/jobs" -H 'Content-Type: application/json' -d "$body")
job=$(echo "$job" | jq -r .id)
ask --no-buffer -H 'Accept: text/event-stream' "$url/api/v1/jobs/$job/events"
files=$(ask "$url/api/v1/jobs/$job")
echo "$files" | jq -r '.assets[].url' | while read -r file; do
    curl --silent --show-error --fail -o "$job.png" "$file"
    echo "$job.png"
done
