"""What the pages know of a clip in one row: the view `shown_clips` over the views of a lake.

Every column may be used in a visitor's condition. Who keeps the view's rows in memory is `reading`.
"""

SHOWN_CLIPS = """
    SELECT c.clip_id, c.recording_id, c.day, c.camera, c.start_s, c.end_s, c.status, c.state,
        c.boundary, c.profile, c.error, c.etag, c.start_pts, c.end_pts, c.reused_from,
        r.key, r.robot, r.container, r.codec, r.width, r.height, r.duration_s, r.frame_rate,
        r.start_time, r.size_bytes, v.passed, coalesce(v.reasons, []) AS reasons,
        s.* EXCLUDE (clip_id, recording_id, etag, day, camera, fingerprint, stage_version,
            content_hash, attempts, run_id)
    FROM clips c JOIN recordings r ON r.recording_id = c.recording_id
    LEFT JOIN verdicts v ON v.clip_id = c.clip_id LEFT JOIN scores s ON s.clip_id = c.clip_id
"""
"""Every clip with what its card shows, its recording, scores and verdict."""
