"""One child process per loaded model, behind one protocol."""
