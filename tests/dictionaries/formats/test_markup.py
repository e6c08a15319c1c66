"""TEI P5 (https://tei-c.org/guidelines) and https://wiki.apertium.org/wiki/Bilingual_dictionary"""

import pytest

from commit_t5x.dictionaries.formats import markup
from commit_t5x.dictionaries.formats.jobs import Job
from commit_t5x.errors import InputError

TEI = """<?xml version="1.0" encoding="UTF-8"?>
<TEI xmlns="http://www.tei-c.org/ns/1.0"><teiHeader><fileDesc><publicationStmt>
<availability><p>Under the <ref target="https://gnu.org/licenses/gpl.html">GPL</ref></p>
</availability></publicationStmt></fileDesc></teiHeader><text><body>
<entry><form><orth>tea</orth><pron>ti</pron></form><gramGrp><pos>n</pos></gramGrp>
  <sense n="1"><def>a drink</def><cit type="trans" xml:lang="hi"><quote>चाय</quote></cit>
    <cit type="example"><quote>Tea is hot.</quote></cit></sense>
  <sense n="2"><cit type="trans"><quote>चाय
      का पौधा</quote><quote xml:lang="el">τσάι</quote></cit></sense></entry>
<entry><form><orth>cab</orth><orth>taxi</orth></form>
  <sense><cit type="trans"><quote>टैक्सी</quote></cit></sense></entry>
</body></text></TEI>"""
DIX = """<?xml version="1.0"?>
<dictionary><sdefs><sdef n="n"/></sdefs><section id="main" type="standard">
<e><p><l>ice<b/>cream<s n="n"/><s n="sg"/></l><r>kulfi<s n="n"/></r></p></e>
<e r="LR"><p><l>take<g><b/>off</g><s n="vblex"/></l><r>utar</r></p></e>
<e r="RL"><p><l>cab</l><r>taksi</r></p></e>
<e i="yes"><p><l>ignored</l><r>nahin</r></p></e>
<e><i>radio<s n="n"/></i></e>
<e><re>[0-9]+</re><p><l><s n="num"/></l><r><s n="num"/></r></p></e>
<e><i>un</i><p><l>do</l><r>kar</r></p></e>
</section></dictionary>"""


def write(tmp_path, content):
    (tmp_path / "x").write_text(content, encoding="utf-8")
    return Job(str(tmp_path / "x"), "en", "hi")


def test_freedict(tmp_path):
    records = list(markup.read_freedict(write(tmp_path, TEI)))
    assert [record[:5] for record in records] == [
        ("tea", "चाय", None, "n", "a drink"),
        ("tea", "चाय का पौधा", None, "n", ""),
        ("cab", "टैक्सी", None, "", ""),
        ("taxi", "टैक्सी", None, "", ""),
    ]
    assert {record.licence for record in records} == {"https://gnu.org/licenses/gpl.html"}


def test_freedict_of_another_language(tmp_path):
    content = TEI.replace('"hi"', '"ta"').replace("<quote>", '<quote xml:lang="ta">')
    with pytest.raises(InputError, match="nothing in language 'hi'; it has ta, el"):
        list(markup.read_freedict(write(tmp_path, content)))


def test_apertium(tmp_path):
    job = write(tmp_path, DIX)
    assert [record[:4] for record in markup.read_apertium(job)] == [
        ("ice cream", "kulfi", None, "n"),
        ("take off", "utar", None, "vblex"),
        ("radio", "radio", None, "n"),
        ("undo", "unkar", None, ""),
    ]
    assert job.skipped.total() == 3


@pytest.mark.parametrize("read", [markup.read_freedict, markup.read_apertium])
def test_other_files(tmp_path, read):
    with pytest.raises(InputError, match="x: its outermost element is a; expected "):
        list(read(write(tmp_path, "<a><b/></a>")))
    unknown = '<?xml version="1.0" encoding="klingon"?><a/>'
    for content in ("tea\tti", unknown, DIX[:-30] if read is markup.read_apertium else TEI[:-30]):
        with pytest.raises(InputError, match="x: not XML, or cut off"):
            list(read(write(tmp_path, content)))
