#!/usr/bin/env bash
# Makes the demo's voices: espeak-ng speaks our own sentences, ffmpeg encodes
# them as mono Opus, 20 ms a packet, one packet a page. Between sentences lie
# 600 ms of silence, by which package speech finds them again.
#
# Needs espeak-ng and ffmpeg (apt-get install espeak-ng ffmpeg). The files it
# makes are committed, so that neither is needed to build or to run.
set -euo pipefail
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# voice NAME ESPEAK_VOICE PITCH SPEED, sentences on standard input.
voice() {
  local name=$1 voice=$2 pitch=$3 speed=$4 n=0 line list="$work/$1.txt"
  : >"$list"
  while IFS= read -r line; do
    [ -n "$line" ] || continue
    n=$((n + 1))
    espeak-ng -v "$voice" -p "$pitch" -s "$speed" -a 120 -w "$work/$name-$n.wav" "$line"
    # Trim what espeak leaves at both ends, then add the pause.
    ffmpeg -nostdin -v error -y -i "$work/$name-$n.wav" -af \
      "silenceremove=start_periods=1:start_threshold=-50dB,areverse,silenceremove=start_periods=1:start_threshold=-50dB,areverse,adelay=60,apad=pad_dur=0.6" \
      -ar 48000 -ac 1 "$work/$name-$n-padded.wav"
    echo "file '$work/$name-$n-padded.wav'" >>"$list"
  done
  ffmpeg -nostdin -v error -y -f concat -safe 0 -i "$list" -af "loudnorm=I=-21:TP=-3,aresample=48000" -ac 1 \
    -c:a libopus -b:a 22k -vbr on -application voip -frame_duration 20 -page_duration 20000 \
    -map_metadata -1 -fflags +bitexact -flags:a +bitexact "$name.ogg"
  echo "$name.ogg: $n sentences, $(stat -c %s "$name.ogg") bytes"
}

voice 1-english en-gb-x-rp 45 155 <<'END'
Good morning everybody, and thank you for joining so early today.
Each of us sends one picture and one voice, and each of us gets one picture and one voice back.
The server decodes what comes in, puts it together, and encodes it again, once for all of us.
If you can hear me, then the sound has made that journey twice already.
Shall we go round the table, so that everybody can say a few words?
END

voice 2-korean ko+f3 60 165 <<'END'
안녕하세요, 여러분. 만나서 반갑습니다.
오늘은 화상 회의를 시험하고 있습니다. 제 목소리가 잘 들리나요?
저는 제 목소리를 듣지 않고 다른 사람의 목소리만 듣습니다.
한 사람이 늦게 들어와도 다른 사람의 소리는 끊기지 않습니다.
화면에서 말하는 사람의 둘레에 테두리가 보입니다.
END

voice 3-chinese cmn-latn-pinyin+f2 55 160 <<'END'
da4 jia1 hao3, hen3 gao1 xing4 jian4 dao4 ni3 men5.
wo3 men5 zheng4 zai4 ce4 shi4 yi1 ge4 shi4 pin2 hui4 yi4 fu2 wu4 qi4.
mei3 ge4 ren2 dou1 zhi3 shou1 dao4 yi1 ge4 hua4 mian4 he2 yi1 ge4 sheng1 yin1.
wang3 luo4 man4 de5 shi2 hou4, sheng1 yin1 ye3 bu4 hui4 zhong1 duan4.
xie4 xie4 da4 jia1, xian4 zai4 qing3 xia4 yi1 wei4 jiang3.
END

voice 4-japanese ja+f4 50 165 <<'END'
みなさん、こんにちは。よろしくおねがいします。
いま、ビデオかいぎの、テストをしています。
わたしのこえは、きこえていますか。
がめんは、ひとつだけ、とどきます。
では、つぎのかた、おねがいします。
それでは、またあとで、おあいしましょう。
END

voice 5-german de+m3 40 150 <<'END'
Guten Tag zusammen, ich freue mich, dass alle da sind.
Wir hören einander, aber niemand hört sich selbst.
Wer gerade spricht, bekommt einen Rahmen um sein Bild.
Auch wenn viele Menschen im Raum sind, bleibt es bei einem Strom für jeden.
Ich gebe das Wort gerne weiter.
END

voice 6-french fr-fr+f1 55 155 <<'END'
Bonjour à tous, merci d'être venus aujourd'hui.
Mon image est petite, mais elle est à sa place dans la mosaïque.
Si ma connexion faiblit, le son continue sans coupure.
Nous pouvons enregistrer la réunion et la regarder plus tard.
Voilà, c'est à vous maintenant.
END

voice 7-spanish es+m2 45 155 <<'END'
Hola a todos, qué gusto verles por aquí.
El servidor mezcla nuestras voces veinte milisegundos cada vez.
Quien está en silencio recibe la misma mezcla que los demás.
Entrar y salir de la sala no molesta a nadie.
Muchas gracias, y hasta la próxima.
END

voice 8-american en-us+f5 60 165 <<'END'
Hi there, can everybody see my picture?
I like that I only download one video, even when the room is full.
My laptop stays cool and quiet, because the server does the heavy work.
Let me know when the recording has started, please.
All right, that was all from my side.
END
