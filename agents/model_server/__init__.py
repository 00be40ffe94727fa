"""A model server that says what a script says: the wire protocols of OpenAI and Anthropic over HTTP, with faults on demand.

For tests and demos of whatever talks to language models. `serving` starts one in this process.
"""

from kernelwright.agents.model_server.script import Script
from kernelwright.agents.model_server.script_file import load_script, parse_script
from kernelwright.agents.model_server.server import ScriptedServer, serving
from kernelwright.agents.model_server.tally import Served, Tally

__all__ = ["Script", "ScriptedServer", "Served", "Tally", "load_script", "parse_script", "serving"]
