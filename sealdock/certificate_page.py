"""The certificate of a destruction as one page to print, sign and file: no script, no link, both languages."""

from __future__ import annotations

from html import escape

from vault.retention.certificate import Certificate, Certified
from vault.retention.execution import ERASED, UNREADABLE

_CHINESE = {
    "decided": "已决定处置，尚未清除；持有保险库及其密钥者仍可打开。",
    ERASED: "密钥、内容及派生件已在本站清除。"
    "持有此前的密钥槽与对象副本、下列密钥桶身份以及根密钥或恢复密钥者仍可打开。",
    UNREADABLE: "密钥、内容及其曾用过的每个密钥桶的身份，均已在本站及所列副本中销毁；其中留存的任何密钥都不能打开。"
    "此前另行复制而未列出的密钥桶身份，连同根密钥或恢复密钥及旧密钥槽，是唯一例外。",
}
_STYLE = (
    "body{font:12pt/1.5 serif;margin:2cm;max-width:17cm}h1{font-size:18pt}table{border-collapse:collapse;width:100%}"
    "td,th{border:1px solid #444;padding:4px;text-align:left;vertical-align:top}"
    "code{font-size:9pt;word-break:break-all}"
    ".line{border-bottom:1px solid #000;display:inline-block;width:6cm}"
)


def page(made: Certificate, bureau: str) -> str:
    """The whole page; everything in it is also in the JSON form, which a program checks."""
    signed = "".join(f"<li>{key.account} · {key.kind} · <code>{key.id}</code></li>" for key in made.keys)
    rows = "".join(_row(each) for each in made.recordings)
    return (
        f'<!doctype html><html lang="zh-CN"><meta charset="utf-8"><title>销毁证明 {made.dispose.id}</title>'
        f"<style>{_STYLE}</style><h1>销毁证明 · Certificate of destruction</h1><p>{escape(bureau)}</p>"
        f"<p>日志条目 Entry {made.index}: <code>{made.dispose.id}</code>, {made.dispose.time}<br>"
        f"保险库 Vault: <code>{made.vault}</code><br>依据 Basis: {escape(str(made.dispose.facts['basis']))}<br>"
        f"签署内容摘要 SHA-256 of what was signed: <code>{made.statement.digest}</code></p>"
        f"<h2>批准人 · Approved by</h2><ol>{signed}</ol><h2>录像 · Recordings</h2><table><tr><th>编号 Id</th>"
        f"<th>原件 SHA-256 of the original</th><th>状态 State</th></tr>{rows}</table>"
        f"<h2>包含证明 · Proof</h2><pre><code>{escape(made.proof.decode())}</code></pre>"
        '<p>签名 Signed: <span class="line"></span> 日期 Date: <span class="line"></span></p></html>\n'
    )


def _row(each: Certified) -> str:
    said = each.as_json()
    left = f"<br>{escape(', '.join(each.left))}" if each.left else ""
    return (
        f"<tr><td><code>{said['id']}</code></td><td><code>{said['sha256']}</code><br>{said['size']:,} bytes</td>"
        f"<td>{said['state']}<br>{_CHINESE[each.state]}<br>{escape(str(said['means']))}{left}</td></tr>"
    )
