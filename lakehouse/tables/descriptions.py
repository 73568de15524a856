"""What every column of every table means, in a sentence: for the UI, and for who writes SQL.

Names, types and units are `schemas`; a column of the same name means the same in every table, but
for those of `_OF_TABLE`.
"""

from collections.abc import Mapping

from lakehouse.tables.schemas import QUANTILES, Table
from lakehouse.video.signals import SIGNALS

_SIGNALS = {
    "sharpness": "1 - perceptual blur, 0 to 1",
    "under_exposed": "share of pixels below level 16",
    "over_exposed": "share of pixels at level 240 or above",
    "darkness": "1 - 95th percentile of luma / 255, 0 to 1",
    "noise": "standard deviation of sensor noise, in 8-bit levels",
    "motion": "mean change of coarse luma since the sample before, in 8-bit levels",
    "residual_motion": "motion that is left once the camera's own is taken out, in 8-bit levels",
    "texture": "standard deviation of coarse luma, in 8-bit levels",
}
_SHARES = {"p10": "10th percentile", "p50": "median", "p90": "90th percentile"}

_ANYWHERE = {
    # whose row it is
    "recording_id": "Id of the recording: a hash of its key.",
    "clip_id": "Id of the clip: its recording, and its first frame's number.",
    "frame_id": "Id of the frame: its clip, its number, and what it was made from.",
    "caption_id": "Id of the caption: its clip and variant.",
    "frame_vector_id": "Id of the vector: its frame, and what it was made from.",
    "etag": "The object that the row was made from, as its bucket names its content.",
    "day": "Day of the footage, as its key says; half of the partition.",
    "camera": "Robot and camera, as its key says; half of the partition.",
    # provenance
    "fingerprint": "Hash of what the row was made from; a plan compares it.",
    "stage_version": "Version of the stage that made the row: its code and its settings.",
    "content_hash": "Hash of the row's own values; equal content, equal hash.",
    "attempts": "How often in a row it was tried; the last attempt made this row.",
    "run_id": "Run that wrote the row.",
    "reused_from": "Row of the same content that this one was copied from; null if made anew.",
    # recordings
    "robot": "Robot, as the key says.",
    "key": "Key of the object in the bucket.",
    "size_bytes": "Size of the object.",
    "container": "Container format, as FFmpeg names its demuxer.",
    "codec": "Video codec.",
    "pixel_format": "Pixel format, as FFmpeg names it.",
    "width": "Width in pixels.",
    "height": "Height in pixels.",
    "rotation_deg": "Degrees to turn clockwise to be upright.",
    "time_base_num": "Numerator of the stream's unit of time.",
    "time_base_den": "Denominator of the stream's unit of time.",
    "start_pts": "First frame, in the recording's time base.",
    "end_pts": "End, exclusive, in the recording's time base.",
    "duration_s": "Seconds from the first frame to the end of the last.",
    "frame_count": "Frames of the video stream.",
    "frame_rate": "Mean frames per second.",
    "variable_frame_rate": "Whether frames last unequally long.",
    "key_frame_interval": "Median frames from one key frame to the next.",
    "has_audio": "Whether there is an audio stream.",
    "start_time": "Wall-clock start in UTC, as the container states it.",
    "first_packet_hash": "Hash of the first packet: a hint at which recordings are the same.",
    "gone_since": "Since when, in UTC, the object no longer lies in the bucket.",
    "error": "What is wrong, in a line; null if nothing is.",
    # clips
    "start_s": "Start in seconds since the recording's first frame.",
    "end_s": "End in seconds since the recording's first frame.",
    "start_frame": "Decoded frames before the clip.",
    "end_frame": "Decoded frames up to the clip's end.",
    "boundary": "Why the clip starts: start, cut, size, length, damage, or the state that begins.",
    "state": "What the footage is like: moving, dark, covered, blurred or still; null if unknown.",
    "profile": "How much was decoded: exact, thrifty or preview.",
    "left_out": "Spans whose pictures were left out on purpose.",
    "frames_left_out": "Frames left out on purpose; null if nobody counted.",
    "packets_lost": "Packets that the decoder refused, out of damage.",
    "status": "kept, too_short or failed.",
    "samples": "The signals of every sample.",
    "frames_hash": "Hash of the clip's frames: their times and JPEGs.",
    "packets_hash": "Hash of all packets of the recording; null if not all were read.",
    # frames
    "pts": "When the frame is shown, in the recording's time base.",
    "time_s": "When the frame is shown, in seconds since the recording's first frame.",
    "jpeg": "The upright picture.",
    # scores
    "sample_count": "Samples that were measured.",
    "stillness": "Share of the intervals between samples without motion, 0 to 1.",
    "score": "What the model gives the clip; null where there is an error.",
    # captions and models
    "variant": "Name of the captioner or embedder in the settings.",
    "captioner": "Variant of the caption that was embedded.",
    "language": "Language of the text.",
    "model": "Model, as its backend names it.",
    "prompt_version": "Hash of the prompt; null where there is none.",
    "text": "The caption.",
    "environment": "Where the robot is.",
    "objects": "What is to be seen: name, position and state of each.",
    "signs": "Key signs and anomalies.",
    "conditions": "Light, floor and space.",
    "dynamics": "What moves or changes.",
    "risks": "What is risky for robot or people.",
    "tokens_in": "Tokens of the question.",
    "tokens_out": "Tokens of the answer.",
    "seconds": "Seconds from request to answer.",
    "raw_answer": "The model's answer, kept where it could not be read.",
    "reuse_distance": "Bits by which frames differ from those of `reused_from`, at most.",
    "frame_hashes": "Perceptual hashes of the frames, 64 bits each.",
    "vector": "The embedding.",
    # runs
    "stage_run_id": "Id of what the run did: run, stage, partition and start.",
    "stage": "Name of the stage.",
    "started_at": "Start in UTC.",
    "wall_s": "Seconds that it took.",
    "made": "Parents whose rows were written.",
    "failed": "Of them, those with an error.",
    "reused": "Of them, those that were copied.",
    "removed": "Parents whose rows were removed, or marked as gone.",
    "rows_written": "Rows written, of all tables.",
    "footage_s": "Seconds of footage.",
    "tokens": "Tokens that models took.",
    "model_s": "Seconds of model time: GPU-seconds, where a model runs on a GPU.",
    "tokens_saved": "Tokens that reused rows would have taken.",
    "model_s_saved": "Seconds of model time that reused rows would have taken.",
    # daily reports
    "report_id": "Id of the report: its day and camera.",
    "is_total": "Whether the row adds up all cameras of the day; its camera is then empty.",
    "recordings": "Recordings of the day.",
    "recordings_failed": "Recordings with an error, in a part at least.",
    "passed_s": "Seconds of clips that pass.",
    "rejected_s": "Seconds of clips that do not pass.",
    "rejected": "Seconds by reason; a clip counts under each of its reasons.",
    "too_short_s": "Seconds of clips that are too short.",
    "failed_s": "Seconds that could not be read.",
    "errors": "The commonest errors, how many recordings have each, and the seconds it took away.",
    "clips": "Clips, of any status.",
    "clips_passed": "Clips that pass.",
    "captions": "Captions without an error.",
    "captions_failed": "Captions with an error.",
    "runs": "Runs that had something to do.",
    # signals
    **{signal: f"{of[0].upper()}{of[1:]}." for signal, of in _SIGNALS.items()},
    **{
        f"{signal}_{suffix}": f"{_SHARES[suffix]} over the clip of: {_SIGNALS[signal]}."
        for signal in SIGNALS
        for suffix in QUANTILES
    },
}
_OF_TABLE: Mapping[str, Mapping[str, str]] = {
    "recordings": {
        "width": "Width in pixels as coded, before rotation.",
        "height": "Height in pixels as coded, before rotation.",
    },
    "frames": {
        "width": "Width in pixels, upright.",
        "height": "Height in pixels, upright.",
    },
    "daily_reports": {
        "wall_s": "Seconds that all runs over the day's footage took, up to the report.",
        "tokens": "Tokens that all runs over the day's footage took, up to the report.",
    },
    "frame_embeddings": {
        "time_s": "When the frame is shown, in seconds since the clip's start.",
    },
}


def describe(table: Table, column: str) -> str:
    """What the column means. Raises KeyError for one that nobody described."""
    family = table.name.partition("-")[0]
    return {**_ANYWHERE, **_OF_TABLE.get(family, {})}[column]
