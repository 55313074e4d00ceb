"""The words of a package's pages, Chinese and English side by side (docs/glossary.md)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Words:
    """One expression in both languages."""

    zh: str
    en: str
    is_known: bool = True


_WORDS = {
    # what an entry of the log says happened
    "ingest": ("采集并封存原件", "Original taken in and sealed"),
    "session": ("采集会话结束", "Docking session ended"),
    "statement": ("遗漏说明的一页", "Page of an omission statement"),
    "session.complete": ("采集会话完成", "Docking session complete"),
    "session.partial": ("采集会话部分完成", "Docking session partly complete"),
    "derive": ("生成派生件", "Derivative made"),
    "derive.index": ("建立索引", "Indexed"),
    "derive.poster": ("生成缩略图", "Thumbnail made"),
    "derive.sprite": ("生成预览图", "Preview pictures made"),
    "derive.waveform": ("生成声音波形", "Waveform made"),
    "derive.proxy": ("生成可播放副本", "Playable copy made"),
    "link": ("关联案件", "Linked to a case"),
    "link.link": ("关联到案件", "Linked to a case"),
    "link.unlink": ("取消与案件的关联", "Taken out of a case"),
    "view": ("查看", "Viewed"),
    "view.poster": ("查看缩略图", "Thumbnail viewed"),
    "view.original": ("播放原件", "Original viewed"),
    "view.proxy": ("播放可播放副本", "Playable copy viewed"),
    "denied": ("访问被拒绝", "Access denied"),
    "export": ("出示/移送", "Disclosed"),
    "open": ("全文解密核验", "Opened in full to prove it"),
    "erase": ("从执法记录仪清除", "Erasing from the recorder"),
    "refusal": ("日志拒绝登记", "Refused by the log"),
    # purposes
    "purpose.own": ("本人录制", "own recording"),
    "purpose.case": ("办案", "case work"),
    "purpose.hearing": ("听证", "hearing"),
    "purpose.supervision": ("监督", "supervision"),
    "purpose.technical": ("技术维护", "technical work"),
    # kinds and stages of a case
    "check": ("检查", "Check"),
    "penalty": ("行政处罚", "Penalty"),
    "compulsory_measure": ("行政强制", "Compulsory measure"),
    "permit": ("行政许可", "Permit"),
    "filing": ("立案", "Filing"),
    "investigation": ("调查", "Investigation"),
    "evidence": ("取证", "Evidence"),
    "review": ("审查", "Review"),
    "decision": ("决定", "Decision"),
    "service": ("送达", "Service"),
    "execution": ("执行", "Execution"),
    # processes that sign
    "by.dockd": ("采集站", "dock"),
    "by.console": ("管理平台", "console"),
    "by.worker": ("媒体处理", "media worker"),
    "by.vaultd": ("保险库", "vault"),
    # media
    "video": ("录像", "Video"),
    "audio": ("录音", "Audio"),
    "image": ("照片", "Photo"),
    "other": ("其他文件", "Other file"),
}


def word(key: str) -> Words:
    """The expression for a key; a key that is not in the list stands for itself."""
    if key in _WORDS:
        return Words(*_WORDS[key])
    shown = key.rpartition(".")[2]
    return Words(shown, shown, is_known=False)
