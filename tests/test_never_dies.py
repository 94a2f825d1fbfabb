"""A live sink outlives failures at every boundary, shows nothing raw meanwhile, and gets pictures again."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import numpy as np
import pytest

from tests.helpers import PERSON, SIZE, frame_of, pipeline_of, room_is_hidden
from vcam.backends.fake import FakeBackend
from vcam.card import state_card
from vcam.effects.base import Scene
from vcam.effects.blend import blend_person
from vcam.effects.composer import Composer
from vcam.effects.refine import RefineConfig
from vcam.errors import EffectError, EngineError, SinkError, SourceError, SourceLost, StageError, VcamError
from vcam.frame import Frame, Matrix, from_rgb, ycbcr_of
from vcam.matting import Matter
from vcam.pipeline import Pipeline, PipelineConfig
from vcam.sinks.recording import RecordingSink
from vcam.sources.base import SourceRequest
from vcam.sources.fake import Block, Deaf, FakeSource, Step, Wait
from vcam.state import State
from vcam.stats import Snapshot, Stats
