/* Recordings or standard input to text on a JVM, with a bundle and LiteRT. See README.md. */

package speechgru

import java.io.File
import java.io.InputStream
import java.nio.ByteBuffer
import java.nio.ByteOrder
import javax.sound.sampled.AudioFormat
import javax.sound.sampled.AudioSystem
import javax.sound.sampled.UnsupportedAudioFileException
import kotlin.system.exitProcess

private const val USAGE = "usage: BUNDLE [--form FORM] FILE.wav ...\n" +
    "       BUNDLE [--form FORM] --stream     16-bit PCM from standard input\n" +
    "       BUNDLE [--form FORM] --check      the golden vectors beside the bundle"

/** A mistake in what was given: one line, and 2. */
private class Mistake(message: String) : Exception(message)

fun main(arguments: Array<String>) {
    try {
        exitProcess(run(arguments.toMutableList()))
    } catch (error: Mistake) {
        System.err.println(error.message)
    } catch (error: SpeechGruException) {
        System.err.println("speechgru: ${error.message}")
    }
    exitProcess(2)
}

private fun run(arguments: MutableList<String>): Int {
    val at = arguments.indexOf("--form")
    val form = arguments.getOrNull(at + 1).takeIf { at >= 0 }
    if (at >= 0) {
        arguments.removeAt(at)
        if (form == null) throw Mistake(USAGE)
        arguments.removeAt(at)
    }
    if (arguments.size < 2) throw Mistake(USAGE)
    val (bundle, first) = arguments
    return SpeechGru(bundle, form).use { model ->
        when (first) {
            "--check" -> {
                val (passed, lines) = model.check()
                print(lines)
                println(if (passed) "passed" else "FAILED")
                if (passed) 0 else 1
            }
            "--stream" -> transcribeStream(model, System.`in`)
            else -> transcribeFiles(model, arguments.drop(1))
        }
    }
}

private fun transcribeFiles(model: SpeechGru, names: List<String>): Int {
    for (name in names) {
        val text = model.transcribe(readWav(name, model.sampleRate))
        println(if (names.size > 1) "$name\t$text" else text)
    }
    return 0
}

private fun transcribeStream(model: SpeechGru, input: InputStream): Int {
    val piece = ByteArray(2 * (model.sampleRate / 20)) // 50 ms
    var shown = ""
    model.stream().use { stream ->
        while (true) {
            val size = readPiece(input, piece)
            if (size % 2 != 0) {
                throw Mistake("standard input ended inside a sample; give 16-bit PCM, little-endian, one channel")
            }
            if (size == 0) break
            val text = stream.feed(samplesOf(piece, size))
            if (text != shown) println("~ $text")
            shown = text
        }
        println(stream.finish())
    }
    return 0
}

/** A full piece, or what is left. */
private fun readPiece(input: InputStream, piece: ByteArray): Int {
    var size = 0
    while (size < piece.size) {
        val got = input.read(piece, size, piece.size - size)
        if (got < 0) break
        size += got
    }
    return size
}

private fun samplesOf(bytes: ByteArray, size: Int): FloatArray {
    val values = ByteBuffer.wrap(bytes, 0, size).order(ByteOrder.LITTLE_ENDIAN).asShortBuffer()
    return FloatArray(values.remaining()) { values.get(it) / 32768f }
}

private fun readWav(name: String, sampleRate: Int): FloatArray {
    val stream = try {
        AudioSystem.getAudioInputStream(File(name))
    } catch (error: java.io.IOException) {
        throw Mistake("$name: cannot be read (${error.message}); give a WAV file")
    } catch (error: UnsupportedAudioFileException) {
        throw Mistake("$name: not a WAV file; convert it: sox IN -c 1 -b 16 -r $sampleRate OUT.wav")
    }
    return stream.use {
        val format = it.format
        val isRight = format.encoding == AudioFormat.Encoding.PCM_SIGNED && format.sampleSizeInBits == 16 &&
            format.channels == 1 && format.sampleRate == sampleRate.toFloat() && !format.isBigEndian
        if (!isRight) {
            throw Mistake("$name: has the form $format; convert it: sox IN.wav -c 1 -b 16 -r $sampleRate OUT.wav")
        }
        val bytes = it.readBytes()
        samplesOf(bytes, bytes.size - bytes.size % 2)
    }
}
