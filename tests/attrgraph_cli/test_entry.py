import subprocess
import sys

INTERRUPTED_WHILE_LOADING = """
import sys

class Interrupt:
    def find_spec(self, name, path=None, target=None):
        if name == "attrgraph_cli.main":
            raise KeyboardInterrupt

sys.meta_path.insert(0, Interrupt())
from attrgraph_cli.entry import main
main()
"""


def test_an_interrupt_while_the_libraries_load_is_one_word():
    ended = subprocess.run([sys.executable, "-c", INTERRUPTED_WHILE_LOADING], capture_output=True, text=True)
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", "interrupted\n")
